"""All chunks that can be had, by their names and by what comes before them: which of them some tokens begin with.

This module must never know threads, files or budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from livethread_server.worker.chunk import ROOT, SHARED, Head
from livethread_server.worker.tier import Entry


class Part(Struct, frozen=True):
    """The first ``count`` tokens of a chunk, which are tokens ``start`` and up of what was asked for."""

    entry: Entry
    start: int
    count: int


class Chains:
    """Entries by name; each is also a child of the chunk that it follows."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._children: dict[tuple[bytes, bytes], dict[bytes, Entry]] = {}

    def __contains__(self, name: bytes) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, name: bytes) -> Entry | None:
        """The entry of this name, if there is one."""
        return self._entries.get(name)

    def of(self, names: Iterable[bytes]) -> list[Entry]:
        """The entries of these names, as far as there are any."""
        return [self._entries[name] for name in names if name in self._entries]

    def enter(self, head: Head) -> Entry:
        """A new entry for a chunk; the one before of the same name is no longer found."""
        entry = self._entries[head.name] = Entry(head)
        self._children.setdefault((head.parent, head.scope), {})[head.name] = entry
        return entry

    def remove(self, entry: Entry) -> bool:
        """Find an entry no longer; False where it was not found before."""
        name, place = entry.head.name, (entry.head.parent, entry.head.scope)
        if self._entries.get(name) is not entry:
            return False
        del self._entries[name]
        del self._children[place][name]
        if not self._children[place]:
            del self._children[place]
        return True

    def find(self, tokens: bytes, scope: bytes, limit: int) -> list[Part]:
        """The longest chain of chunks that the tokens (int32) begin with, at most ``limit`` of them; the last
        one may be used in part. A whole state fits only where it is a beginning of the tokens.
        """
        whole = self._find_whole(tokens, scope, limit)
        if whole:
            return [whole]
        parts: list[Part] = []
        parent, at = ROOT, 0
        while at < limit:
            best, common = self._best(parent, scope, tokens[4 * at : 4 * limit])
            if best is None:
                break
            parts.append(Part(best, at, common))
            at, parent = at + common, best.head.name
            if common < best.head.count:
                break
        return parts

    def _find_whole(self, tokens: bytes, scope: bytes, limit: int) -> Part | None:
        fitting = (
            each
            for each in self._children.get((ROOT, scope), {}).values()
            if each.head.whole and each.head.count <= limit and tokens.startswith(each.head.tokens)
        )
        longest = max(fitting, key=lambda each: each.head.count, default=None)
        return Part(longest, 0, longest.head.count) if longest else None

    def _best(self, parent: bytes, scope: bytes, tokens: bytes) -> tuple[Entry | None, int]:
        best, common = None, 0
        for whose in (SHARED, scope):
            for entry in self._children.get((parent, whose), {}).values():
                held = entry.head.tokens
                if not entry.head.whole and held[: 4 * common + 4] == tokens[: 4 * common + 4]:
                    longer = _common(held, tokens, common)
                    if longer > common:
                        best, common = entry, longer
        return best, common


def _common(held: bytes, tokens: bytes, at_least: int) -> int:
    """How many tokens two runs of int32 begin with in common, which are more than ``at_least``."""
    low, high = at_least + 1, min(len(held), len(tokens)) // 4
    if high < low:
        return at_least
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if held[: 4 * middle] == tokens[: 4 * middle] else (low, middle - 1)
    return low
