"""Runs that wait for the worker, in the order in which it will get them, and how many of them one tenant may have.

This module must never know slots, cells or processes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from livethread_server.engine.wire import Submit

SHARES = 2
"""A bound is what one tenant may have who is alone. All together have room for so many times as much, and nobody may
have more than he leaves free: whoever takes all that he may leaves room for the others.
"""


def fits_share(mine: int, everybody: int, most: int) -> bool:
    """Whether a tenant may have ``mine`` of what ``everybody`` has, his own included, where one alone may have
    ``most``.
    """
    return mine + everybody <= SHARES * most


class Turns:
    """First come, first served; where it is ``fair`` only among a tenant's own runs, and tenants take turns."""

    def __init__(self, *, fair: bool) -> None:
        self._fair = fair
        self._returned: deque[Submit] = deque()
        self._waiting: OrderedDict[str, deque[Submit]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._returned) + sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Submit]:
        """All of them in order."""
        yield from self._returned
        rounds = [iter(submits) for submits in self._waiting.values()]
        while rounds:
            left = []
            for each in rounds:
                if (submit := next(each, None)) is not None:
                    left.append(each)
                    yield submit
            rounds = left

    def count(self, submit: Submit) -> int:
        """How many there are of those among whom this one would be: its tenant's, or all."""
        who = self._who(submit)
        return len(self._waiting.get(who, ())) + sum(self._who(each) == who for each in self._returned)

    @property
    def first(self) -> Submit:
        """The next one; `IndexError` where there is none."""
        return self._returned[0] if self._returned else next(iter(self._waiting.values()), deque[Submit]())[0]

    def take(self) -> Submit:
        """The next one, which is gone then; whoever it belongs to comes after the others now."""
        if self._returned:
            return self._returned.popleft()
        who, submits = self._waiting.popitem(last=False)
        submit = submits.popleft()
        if submits:
            self._waiting[who] = submits
        return submit

    def add(self, submit: Submit) -> None:
        """Put one behind its tenant's others."""
        self._waiting.setdefault(self._who(submit), deque()).append(submit)

    def put_back(self, submits: Sequence[Submit]) -> None:
        """These were taken before, and come before all others, whose ever they are."""
        self._returned.extendleft(reversed(submits))

    def remove(self, run: str) -> bool:
        """Take a run out; whether it was there."""
        before = len(self)
        self._returned = _without(self._returned, run)
        left = ((who, _without(submits, run)) for who, submits in self._waiting.items())
        self._waiting = OrderedDict((who, submits) for who, submits in left if submits)
        return len(self) < before

    def _who(self, submit: Submit) -> str:
        return submit.tenant if self._fair else ""


def _without(submits: deque[Submit], run: str) -> deque[Submit]:
    return deque(submit for submit in submits if submit.run != run)
