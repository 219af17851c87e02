"""What lies on one shelf, in the order of last use, within its budget.

This module must never know threads, nor touch files itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from livethread_server.engine.wire import is_side
from livethread_server.worker.chunk import TOKENS, Bytes, Head
from livethread_server.worker.shelf import Shelf

TierName = Literal["ram", "disk"]
REST = 30.0
"""Seconds for which a shelf that could not be written to is left alone."""


class Entry:
    """A chunk that can be had. ``rows`` are there while no shelf has them yet; ``there`` names those that do,
    ``coming`` those it is being written to. ``holders`` are the threads whose context it is part of.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self.rows: Bytes | None = None
        self.there: set[TierName] = set()
        self.coming: set[TierName] = set()
        self.holders: set[str] = set()

    @property
    def side(self) -> bool:
        """Whether tasks hold it, and no thread does."""
        return bool(self.holders) and all(map(is_side, self.holders))

    @property
    def is_tail(self) -> bool:
        """Whether it ends a context, so that only who has exactly that context can use all of it."""
        return self.head.whole or self.head.count < TOKENS

    def on(self, tier: TierName) -> bool:
        """Whether it is on a shelf, or will be in a moment."""
        return tier in self.there or tier in self.coming

    @property
    def sunk(self) -> bool:
        """Whether the disk has it and RAM has not."""
        return "disk" in self.there and not self.on("ram")

    @property
    def lost(self) -> bool:
        """Whether nothing has it."""
        return self.rows is None and not self.there and not self.coming


class Tier:
    """A shelf's books: bytes ``used`` of ``budget``, and its entries, the one used longest ago first."""

    def __init__(self, name: TierName, shelf: Shelf, budget: int) -> None:
        self.name = name
        self.shelf = shelf
        self.budget = budget
        self.used = 0
        self.rests_until = 0.0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Count an entry in, as the one used last."""
        self._entries[entry.head.name] = entry
        self.used += entry.head.file_size

    def remove(self, entry: Entry) -> None:
        """Count an entry out, if it was in; another with its name, which came after it, stays."""
        if self._entries.get(entry.head.name) is entry:
            del self._entries[entry.head.name]
            self.used -= entry.head.file_size

    def touch(self, entry: Entry) -> None:
        """It was used just now."""
        if entry.head.name in self._entries:
            self._entries.move_to_end(entry.head.name)

    def oldest(self, spared: Callable[[Entry], bool]) -> list[Entry]:
        """What may go, first what was used longest ago; what tasks hold comes before all others, what is ``spared``
        behind them.
        """
        there = [entry for entry in self._entries.values() if self.name in entry.there]
        return sorted(there, key=lambda each: (not each.side, not each.side and spared(each)))

    def lacks(self, size: int) -> int:
        """How many bytes must go before ``size`` more fit."""
        return max(0, self.used + size - self.budget)
