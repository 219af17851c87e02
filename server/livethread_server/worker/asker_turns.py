"""Who is next: tenants take turns, and those who ask for the same one do.

This module must never know what is asked for.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class AskerTurns(Generic[T]):
    """Those who wait for a turn, each of a tenant."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._tenants)

    @property
    def first(self) -> T:
        """Whose turn it is; `StopIteration` where nobody waits."""
        return next(iter(self._tenants.values()))[0]

    def add(self, tenant: str, asker: T) -> None:
        """Put one at the end."""
        self._tenants.setdefault(tenant, deque()).append(asker)

    def take(self, *, again: bool) -> T:
        """The one whose turn it is, who waits ``again`` or is gone; his tenant comes after the others now."""
        tenant, askers = self._tenants.popitem(last=False)
        asker = askers.popleft()
        if again:
            askers.append(asker)
        if askers:
            self._tenants[tenant] = askers
        return asker

    def remove(self, tenant: str, asker: T) -> None:
        """Take one out, if he waits."""
        askers = self._tenants.get(tenant, deque[T]())
        if asker in askers:
            askers.remove(asker)
        if not askers:
            self._tenants.pop(tenant, None)
