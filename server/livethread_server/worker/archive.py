"""The contexts that are in RAM and on disk: found by their tokens, kept for threads, moved down and up the tiers.

All methods belong to the loop's OS thread. This module must never know sequences, runs, files or what rows mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from livethread.model import Residency
from livethread_server.engine.wire import is_side
from livethread_server.worker.chains import Part
from livethread_server.worker.chunk import ROOT, Bytes, Head
from livethread_server.worker.files import Files
from livethread_server.worker.holdings import Holding, Holdings
from livethread_server.worker.passing import Passing
from livethread_server.worker.stock import Read, Stock
from livethread_server.worker.tier import Entry, Tier

FULL = 0.9
"""The part of the RAM budget beyond which what was used longest ago is copied to disk ahead of need."""
AHEAD = 8
"""How many such copies are under way at most."""


class Archive:
    """``tiers`` are ordered: what does not fit the first goes to the next. There may be none. Of tasks' contexts
    ``passing`` are kept at most.
    """

    def __init__(self, tiers: Iterable[Tier], files: Files, fingerprint: bytes, *, passing: int = 0) -> None:
        self._files = files
        self._stock = Stock(tiers, files, self._written)
        self._holdings = Holdings(self._stock, files)
        self._passing = Passing(self._holdings, self._stock.chains, passing)
        self._unbalanced = True
        self._ahead = 0
        self._returning: dict[tuple[str, bytes], None] = {}
        self._bringing = False
        used_at: dict[bytes, float] = {}
        for tier in self._stock.tiers.values():
            for at, head in tier.shelf.scan(fingerprint):
                self._stock.found(head, tier)
                used_at[head.name] = at
        self._begin(used_at)

    def _begin(self, used_at: dict[bytes, float]) -> None:
        """Take up the notes. Threads were used when the last of their chunks was; within one its beginning counts
        as used last, whatever the files' times say.
        """
        self._holdings.read_notes()
        for entry in self._stock.chains:
            if not entry.holders and entry.is_tail:
                self._stock.drop(entry)
        known = [holding for thread in self._holdings if (holding := self._holdings.get(thread))]
        for holding in sorted(known, key=lambda each: max(used_at.get(name, 0.0) for name in (*each.names, ROOT))):
            self._stock.touch(holding.names)
        for tier in self._stock.tiers.values():
            self._stock.make_room(tier, 0)
        self._stock.changed.update(self._holdings)

    # What there is

    @property
    def tiers(self) -> Iterable[Tier]:
        """The tiers, the first one first."""
        return self._stock.tiers.values()

    @property
    def empty(self) -> bool:
        """Whether there is no shelf at all."""
        return not self._stock.tiers

    @property
    def resting(self) -> bool:
        """Whether no shelf can be written to now."""
        now = time.monotonic()
        return all(tier.rests_until > now for tier in self._stock.tiers.values())

    @property
    def pending(self) -> int:
        """Bytes that are being written."""
        return self._stock.pending

    @property
    def pinned(self) -> set[str]:
        """The threads that lose theirs last."""
        return self._stock.pinned

    @property
    def threads(self) -> Iterable[str]:
        """The threads of whose context there is something."""
        return self._holdings

    @property
    def passing(self) -> int:
        """How many of those are tasks'."""
        return len(self._passing)

    def where(self, thread: str) -> tuple[Residency, int]:
        """From where how many of a thread's first tokens can be had; the slowest shelf counts."""
        return self._holdings.where(thread)

    def changed(self) -> set[str]:
        """The threads whose place may have changed since the last call."""
        changed, self._stock.changed = self._stock.changed, set()
        return changed

    def holds(self, thread: str, heads: Sequence[Head]) -> bool:
        """Whether exactly these chunks are known as the thread's context, and all can be had."""
        return self._holdings.holds(thread, heads)

    def missing(self, heads: Iterable[Head]) -> list[Head]:
        """Which of these chunks nobody has."""
        return [head for head in heads if head.name not in self._stock.chains]

    def find(self, tokens: bytes, scope: bytes, limit: int) -> list[Part]:
        """As `Chains.find`."""
        return self._stock.chains.find(tokens, scope, limit)

    def stats(self) -> dict[str, Any]:
        """``tiers`` by name: chunks, bytes, budget, bad_files (removed). ``saved_bytes`` is what files would take
        in addition if every thread had its own, ``dropped`` counts chunks that went from a tier for lack of room.
        """
        tiers = {
            tier.name: {
                "chunks": len(tier),
                "bytes": tier.used,
                "budget": tier.budget,
                "bad_files": tier.shelf.refused,
            }
            for tier in self._stock.tiers.values()
        }
        saved = sum(max(0, len(each.holders) - 1) * each.head.file_size for each in self._stock.chains)
        return {"tiers": tiers, "saved_bytes": saved, "dropped": self._stock.dropped}

    # Keeping and reading

    def keep(self, thread: str, heads: Sequence[Head], rows: dict[bytes, Bytes]) -> None:
        """These chunks are the thread's context now; ``rows`` has those that were `missing`."""
        for head in heads:
            if head.name in rows:
                entry = self._stock.chains.enter(head)
                entry.rows = rows[head.name]
                entry.holders.add(thread)  # before it is put anywhere: what nobody holds goes first
        names = tuple(head.name for head in heads)
        self._holdings.rename(thread, names)
        self._stock.touch(names)
        for entry in self._stock.chains.of(names):
            if entry.rows is not None and not entry.coming:
                self._stock.shelve(entry)
        self._stock.touch(names)  # again, as new ones were added behind their beginnings
        self._holdings.note(thread, "ram")
        self._holdings.noted_enough(thread)
        if is_side(thread):
            self._passing.keep(thread, heads)
        self._unbalanced = True
        if "ram" in self._stock.tiers:
            self._returning |= {(thread, each.head.name): None for each in self._stock.chains.of(names) if each.sunk}

    def touch(self, names: Sequence[bytes]) -> None:
        """They were used just now. A beginning must outlive what follows it, so it counts as used last."""
        self._stock.touch(names)

    def read(self, part: Part, use: Callable[[Bytes], None], then: Callable[[Read], None]) -> None:
        """Have ``use`` called with a chunk's rows in an OS thread that reads, valid only during the call."""
        self._stock.read(part, use, then)

    def prepare(self, width: int) -> None:
        """Make ready for reading chunks with so many bytes a token."""
        self._stock.prepare(width)

    def _written(self, holders: Iterable[str]) -> None:
        for thread in holders:
            self._holdings.noted_enough(thread)

    def forget(self, thread: str) -> None:
        """The thread is gone: what nobody else holds is removed."""
        self._passing.forget(thread)
        self._holdings.forget(thread)

    # Down and up the tiers

    def spare(self, running: Callable[[], Iterable[str]]) -> None:
        """Ask for the threads that run whenever something must go, and let theirs go last."""
        self._stock.running = running

    def sink(self, thread: str, then: Callable[[], None]) -> None:
        """Have all of a thread's context on disk as well; ``then`` is called once it is, or cannot be."""
        holding, disk = self._holdings.get(thread), self._stock.tiers.get("disk")
        if holding is None or disk is None:
            then()
            return
        holding.waiting.append(then)
        for entry in self._stock.chains.of(holding.names):
            self._stock.put(entry, disk)
        self._holdings.noted_enough(thread)

    def leave_ram(self, thread: str) -> None:
        """Drop from RAM what is on disk and no other thread holds; the thread itself counts as on disk."""
        holding = self._holdings.get(thread)
        entries = self._entries(holding)
        if holding:
            holding.left_ram = len(entries) == len(holding.names) and all(entry.on("disk") for entry in entries)
        for entry in entries:
            if entry.holders <= {thread} and {"ram", "disk"} <= entry.there:
                self._stock.take_off(entry, self._stock.tiers["ram"])
        self._stock.changed.add(thread)

    def balance(self, *, idle: bool) -> None:
        """Copy what was used longest ago from a full RAM shelf to disk ahead of need. While nobody runs, and one
        after the other, copy what came from disk and is in use again to RAM.
        """
        self._sink_some()
        while idle and self._returning and not self._bringing:
            thread, name = next(iter(self._returning))
            del self._returning[thread, name]
            self._bring(thread, self._stock.chains.get(name))

    def _sink_some(self) -> None:
        ram, disk = self._stock.tiers.get("ram"), self._stock.tiers.get("disk")
        if not self._unbalanced or ram is None or disk is None or disk.rests_until > time.monotonic():
            return
        safe = 0
        for entry in ram.oldest(self._stock.is_pinned) if ram.used > FULL * ram.budget else ():
            if ram.used - safe <= FULL * ram.budget or self._ahead >= AHEAD:
                break
            safe += entry.head.file_size
            if entry.holders and not entry.on("disk"):
                self._sink_ahead(entry, disk)
        self._unbalanced = self._ahead > 0

    def _sink_ahead(self, entry: Entry, disk: Tier) -> None:
        if self._stock.put(entry, disk):
            self._ahead += 1
            self._files.write(lambda: None, lambda _: self._came_ahead())

    def _came_ahead(self) -> None:
        self._ahead -= 1
        self._unbalanced = True

    def _bring(self, thread: str, entry: Entry | None) -> None:
        holding = self._holdings.get(thread)
        if holding is None or holding.left_ram or entry is None or not entry.sunk:
            return
        if self._stock.put(entry, self._stock.tiers["ram"]):
            self._bringing = True
            self._files.write(lambda: None, lambda _: self._brought())
            self._stock.touch(holding.names)  # it was not used later than its beginning

    def _brought(self) -> None:
        self._bringing = False

    def _entries(self, holding: Holding | None) -> list[Entry]:
        return self._stock.chains.of(holding.names) if holding else []
