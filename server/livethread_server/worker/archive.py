"""The chunks that are in RAM and on disk: found by their tokens, held by threads, kept within budgets.

All methods belong to the loop's OS thread; files are read and written by others. This module must never know
sequences, runs or what rows mean.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from livethread.model import Residency
from livethread_server.worker.chunk import ROOT, SHARED, TAG_SIZE, TOKENS, BadChunk, Bytes, Head
from livethread_server.worker.files import Files
from livethread_server.worker.shelf import Note
from livethread_server.worker.tier import REST, Entry, Tier, TierName

FULL = 0.9
"""The part of the RAM budget beyond which what was used longest ago is copied to disk ahead of need."""
AHEAD = 8
"""How many such copies are under way at most."""

_log = logging.getLogger(__name__)


class Part(Struct, frozen=True):
    """The first ``count`` tokens of a chunk, which are tokens ``start`` and up of what was asked for."""

    entry: Entry
    start: int
    count: int


class Read(Struct, frozen=True):
    """What came of reading one chunk: where its rows came from, None where they cannot be had; and which shelves
    turned out not to have it.
    """

    source: TierName | None
    missing: tuple[TierName, ...]


class Holding:
    """A thread's context: the ``names`` of its chunks; ``noted`` are those its note on disk says, which are
    kept until a newer note is written. ``left_ram``: it was sent to disk, whatever others still hold in RAM.
    """

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.noted: tuple[bytes, ...] = ()
        self.noting = False
        self.left_ram = False
        self.waiting: list[Callable[[], None]] = []


class Archive:
    """``tiers`` are ordered: what does not fit the first goes to the next. There may be none. ``pending`` counts
    bytes that are being written; threads in ``pinned`` lose theirs last.
    """

    def __init__(self, tiers: Iterable[Tier], files: Files, fingerprint: bytes) -> None:
        self._tiers: dict[TierName, Tier] = {tier.name: tier for tier in tiers}
        self._files = files
        self._entries: dict[bytes, Entry] = {}
        self._children: dict[tuple[bytes, bytes], dict[bytes, Entry]] = {}
        self._threads: dict[str, Holding] = {}
        self._changed: set[str] = set()
        self._unbalanced = False
        self._ahead = 0
        self._local = threading.local()
        self.pinned: set[str] = set()
        self.pending = 0
        self.dropped = 0
        for tier in self._tiers.values():
            self._scan(tier, fingerprint)
        self._read_notes()

    # Starting

    def _scan(self, tier: Tier, fingerprint: bytes) -> None:
        for _, head in tier.shelf.scan(fingerprint):
            entry = self._entries.get(head.name) or self._enter(head)
            entry.there.add(tier.name)
            tier.add(entry)

    def _read_notes(self) -> None:
        """What RAM says about a thread is newer than what the disk says."""
        for name in ("disk", "ram"):
            tier = self._tiers.get(name)
            for note in tier.shelf.notes() if tier else ():
                holding = self._threads.setdefault(note.thread, Holding(note.names))
                holding.names = note.names
                if name == "disk":
                    holding.noted = note.names
        for thread, holding in list(self._threads.items()):
            self._hold(thread, (*holding.noted, *holding.names))
            if self.where(thread)[0] == "cold":
                self.forget(thread)
        for entry in [each for each in self._entries.values() if not each.holders and _is_tail(each)]:
            self._drop(entry)
        for tier in self._tiers.values():
            self._make_room(tier, 0)
        self._changed.update(self._threads)
        self._unbalanced = True

    # What there is

    @property
    def empty(self) -> bool:
        """Whether there is no shelf at all."""
        return not self._tiers

    @property
    def resting(self) -> bool:
        """Whether no shelf can be written to now."""
        now = time.monotonic()
        return all(tier.rests_until > now for tier in self._tiers.values())

    @property
    def threads(self) -> Iterable[str]:
        """The threads of whose context there is something."""
        return self._threads.keys()

    def where(self, thread: str) -> tuple[Residency, int]:
        """From where how many of a thread's first tokens can be had; the slowest shelf counts."""
        holding = self._threads.get(thread)
        slowest: Residency = "disk" if holding and holding.left_ram else "ram"
        count = 0
        for name in holding.names if holding else ():
            entry = self._entries.get(name)
            if entry is None:
                break
            if not entry.on("ram"):
                slowest = "disk"
            count += entry.head.count
        return (slowest, count) if count else ("cold", 0)

    def changed(self) -> set[str]:
        """The threads whose place may have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def holds(self, thread: str, heads: Sequence[Head]) -> bool:
        """Whether exactly these chunks are known as the thread's context, and all can be had."""
        holding = self._threads.get(thread)
        names = tuple(head.name for head in heads)
        return holding is not None and holding.names == names and all(name in self._entries for name in names)

    def missing(self, heads: Iterable[Head]) -> list[Head]:
        """Which of these chunks nobody has."""
        return [head for head in heads if head.name not in self._entries]

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
        every = self._children.get((ROOT, scope), {}).values()
        fitting = [
            each.head.count
            for each in every
            if each.head.whole and each.head.count <= limit and tokens.startswith(each.head.tokens)
        ]
        longest = max(fitting, default=0)
        found = (
            each
            for each in every
            if each.head.whole and each.head.count == longest and tokens.startswith(each.head.tokens)
        )
        return next((Part(each, 0, longest) for each in found), None) if longest else None

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
            for tier in self._tiers.values()
        }
        saved = sum(max(0, len(each.holders) - 1) * each.head.file_size for each in self._entries.values())
        return {"tiers": tiers, "saved_bytes": saved, "dropped": self.dropped}

    # Keeping

    def keep(self, thread: str, heads: Sequence[Head], rows: dict[bytes, Bytes]) -> None:
        """These chunks are the thread's context now; ``rows`` has those that were `missing`."""
        for head in heads:
            if head.name in rows:
                entry = self._enter(head)
                entry.rows = rows[head.name]
                entry.holders.add(thread)  # before it is put anywhere: what nobody holds goes first
        names = tuple(head.name for head in heads)
        self._rename(thread, names)
        self.touch(names)
        for entry in [self._entries[name] for name in names if name in self._entries]:
            if entry.rows is not None and not entry.coming:
                self._shelve(entry)
            elif "disk" in entry.there and "ram" in self._tiers:
                self._put(entry, self._tiers["ram"])  # it is in use again
        self.touch(names)  # again, as new ones were added behind their beginnings
        self._note(thread, "ram")
        self._noted_enough(thread)
        self._unbalanced = True

    def _rename(self, thread: str, names: tuple[bytes, ...]) -> None:
        holding = self._threads.setdefault(thread, Holding(names))
        before, holding.names, holding.left_ram = holding.names, names, False
        self._hold(thread, names)
        self._release(thread, set(before) - set(names) - set(holding.noted))
        self._changed.add(thread)

    def touch(self, names: Sequence[bytes]) -> None:
        """They were used just now. A beginning must outlive what follows it, so it counts as used last."""
        for name in reversed(names):
            entry = self._entries.get(name)
            for tier in self._tiers.values() if entry else ():
                tier.touch(entry)  # type: ignore[arg-type]

    def _shelve(self, entry: Entry) -> None:
        """Put new rows on the first shelf that has room."""
        if not any(self._put(entry, tier) for tier in self._tiers.values()):
            self._drop(entry)

    def _put(self, entry: Entry, tier: Tier) -> bool:
        """Have an entry written to a shelf; False where it has no room."""
        size = entry.head.file_size
        if entry.on(tier.name):
            return True
        if tier.rests_until > time.monotonic() or not self._make_room(tier, size):
            return False
        tier.add(entry)
        self.pending += size
        entry.coming.add(tier.name)
        rows, head = entry.rows, entry.head
        other = next((each for each in self._tiers.values() if each.name in entry.there), None)

        def write() -> None:
            if rows is not None:
                tier.shelf.write(head, rows)
            elif other is not None:
                tier.shelf.write(head, other.shelf.read(head))

        self._files.write(write, lambda result: self._written(entry, tier, result))
        return True

    def _written(self, entry: Entry, tier: Tier, result: object) -> None:
        self.pending -= entry.head.file_size
        if self._entries.get(entry.head.name) is not entry:
            return
        entry.coming.discard(tier.name)
        if isinstance(result, Exception):
            self._could_not_write(entry, tier, result)
        else:
            entry.there.add(tier.name)
            entry.rows = None if not entry.coming else entry.rows
        self._changed.update(entry.holders)
        for thread in tuple(entry.holders):
            self._noted_enough(thread)

    def _could_not_write(self, entry: Entry, tier: Tier, error: Exception) -> None:
        tier.remove(entry)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            if tier.rests_until < time.monotonic():
                _log.warning("A chunk cannot be written to the %s cache: %s.", tier.name, error)
            tier.rests_until = time.monotonic() + REST
        elif entry.rows is None:  # where it was to be copied from it is not whole
            for name in tuple(entry.there):
                self._missed(entry, name)
        if entry.rows is not None and not entry.coming and not entry.there:
            self._shelve(entry)
        if entry.lost:
            self._drop(entry)

    # Notes

    def _note(self, thread: str, name: TierName, *, durable: bool = False) -> None:
        tier, holding = self._tiers.get(name), self._threads[thread]
        if tier is None or (name == "disk" and holding.noting):
            return
        note = Note(thread, holding.names)
        if name == "disk":
            holding.noting = True
        self._files.write(
            lambda: tier.shelf.write_note(note, durable=durable),
            lambda result: self._noted(note, tier, holding, result),
        )

    def _noted(self, note: Note, tier: Tier, holding: Holding, result: object) -> None:
        if tier.name != "disk":
            return
        holding.noting = False
        if self._threads.get(note.thread) is not holding:
            return
        if isinstance(result, Exception):
            self._give_notice(holding)
            return
        before, holding.noted = holding.noted, note.names
        self._release(note.thread, set(before) - set(note.names) - set(holding.names))
        self._noted_enough(note.thread)

    def _noted_enough(self, thread: str) -> None:
        """Write the thread's note to disk once all of its chunks are there."""
        holding = self._threads.get(thread)
        if holding is None or "disk" not in self._tiers or holding.noting:
            return
        entries = [self._entries.get(name) for name in holding.names]
        if all(entry and "disk" in entry.there for entry in entries):
            if holding.noted == holding.names:
                self._give_notice(holding)
            else:
                self._note(thread, "disk", durable=bool(holding.waiting))
        elif not any(entry and "disk" in entry.coming for entry in entries):
            self._give_notice(holding)

    def _give_notice(self, holding: Holding) -> None:
        waiting, holding.waiting = holding.waiting, []
        for each in waiting:
            each()

    # Sinking

    def sink(self, thread: str, then: Callable[[], None]) -> None:
        """Have all of a thread's context on disk as well; ``then`` is called once it is, or cannot be."""
        holding, disk = self._threads.get(thread), self._tiers.get("disk")
        if holding is None or disk is None:
            then()
            return
        holding.waiting.append(then)
        for name in holding.names:
            entry = self._entries.get(name)
            if entry:
                self._put(entry, disk)
        self._noted_enough(thread)

    def leave_ram(self, thread: str) -> None:
        """Drop from RAM what is on disk and no other thread holds; the thread itself counts as on disk."""
        holding = self._threads.get(thread)
        if holding:
            known = [self._entries.get(name) for name in holding.names]
            holding.left_ram = all(entry and entry.on("disk") for entry in known)
        for name in holding.names if holding else ():
            entry = self._entries.get(name)
            if entry and entry.holders <= {thread} and {"ram", "disk"} <= entry.there:
                self._take_off(entry, self._tiers["ram"])
        self._changed.add(thread)

    def balance(self) -> None:
        """Copy what was used longest ago from a full RAM shelf to disk ahead of need."""
        ram, disk = self._tiers.get("ram"), self._tiers.get("disk")
        if not self._unbalanced or ram is None or disk is None or disk.rests_until > time.monotonic():
            return
        safe = 0
        for entry in ram.oldest(self._is_pinned) if ram.used > FULL * ram.budget else ():
            if ram.used - safe <= FULL * ram.budget or self._ahead >= AHEAD:
                break
            safe += entry.head.file_size
            if entry.holders and not entry.on("disk"):
                self._sink_ahead(entry, disk)
        self._unbalanced = self._ahead > 0

    def _sink_ahead(self, entry: Entry, disk: Tier) -> None:
        if self._put(entry, disk):
            self._ahead += 1
            self._files.write(lambda: None, lambda _: self._came_ahead())

    def _came_ahead(self) -> None:
        self._ahead -= 1
        self._unbalanced = True

    # Reading

    def read(self, part: Part, use: Callable[[Bytes], None], then: Callable[[Read], None]) -> None:
        """Have ``use`` called with a chunk's rows in an OS thread that reads, valid only during the call."""
        entry = part.entry
        rows = entry.rows
        shelves = [tier for tier in self._tiers.values() if tier.name in entry.there]

        def read() -> Read:
            if rows is not None:
                use(rows)
                return Read("ram", ())
            missing: list[TierName] = []
            for tier in shelves:
                try:
                    found = tier.shelf.read(entry.head, self._buffer(entry.head))
                except (BadChunk, OSError):
                    missing.append(tier.name)
                else:
                    use(found)
                    return Read(tier.name, tuple(missing))
            return Read(None, tuple(missing))

        def done(result: Read | Exception) -> None:
            told = Read(None, ()) if isinstance(result, Exception) else result
            for name in told.missing:
                self._missed(entry, name)
            then(told)

        self._files.read(read, done)

    def _buffer(self, head: Head) -> Bytes | None:
        """A buffer of the reading OS thread's own, for chunks of the usual size."""
        if head.whole:
            return None
        size = TOKENS * head.width + TAG_SIZE
        if getattr(self._local, "buffer", None) is None:
            self._local.buffer = np.empty(size, np.uint8)
        buffer: Bytes = self._local.buffer
        return buffer

    # Letting go

    def forget(self, thread: str) -> None:
        """The thread is gone: what nobody else holds is removed."""
        holding = self._threads.pop(thread, None)
        if holding is None:
            return
        for name in {*holding.names, *holding.noted}:
            entry = self._entries.get(name)
            if entry:
                entry.holders.discard(thread)
                if not entry.holders:
                    self._drop(entry)
        for tier in self._tiers.values():
            self._files.write(lambda tier=tier: tier.shelf.remove_note(thread), _ignore)  # type: ignore[misc]
        self._changed.add(thread)
        self._give_notice(holding)

    def _make_room(self, tier: Tier, size: int) -> bool:
        """Let go what was used longest ago; False where that is not enough, or more than may go at once."""
        if size > tier.budget:
            return False
        if not tier.lacks(size):
            return True
        for entry in tier.oldest(self._is_pinned):
            if tier.name == "ram" and "disk" in self._tiers and entry.holders and "disk" not in entry.there:
                continue
            self._take_off(entry, tier)
            if not tier.lacks(size):
                return True
        return False

    def _take_off(self, entry: Entry, tier: Tier) -> None:
        name = entry.head.name
        entry.there.discard(tier.name)
        tier.remove(entry)
        self._files.write(lambda: tier.shelf.remove(name), _ignore)
        self.dropped += 1
        self._changed.update(entry.holders)
        if entry.lost:
            self._drop(entry)

    def _missed(self, entry: Entry, name: TierName) -> None:
        """A shelf turned out not to have it, or not whole."""
        entry.there.discard(name)
        self._tiers[name].remove(entry)
        self._changed.update(entry.holders)
        if entry.lost:
            self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        """Let go of an entry wherever it is."""
        name = entry.head.name
        if self._entries.get(name) is not entry:
            return
        del self._entries[name]
        siblings = self._children[(entry.head.parent, entry.head.scope)]
        del siblings[name]
        if not siblings:
            del self._children[(entry.head.parent, entry.head.scope)]
        for tier in self._tiers.values():
            if entry.on(tier.name):
                tier.remove(entry)
                self._files.write(lambda tier=tier: tier.shelf.remove(name), _ignore)  # type: ignore[misc]
        entry.rows = None
        entry.there.clear()
        entry.coming.clear()
        self._changed.update(entry.holders)

    def _enter(self, head: Head) -> Entry:
        entry = self._entries[head.name] = Entry(head)
        self._children.setdefault((head.parent, head.scope), {})[head.name] = entry
        return entry

    def _hold(self, thread: str, names: Iterable[bytes]) -> None:
        for name in names:
            if name in self._entries:
                self._entries[name].holders.add(thread)

    def _release(self, thread: str, names: Iterable[bytes]) -> None:
        """The thread holds them no more. A tail that nobody holds is of no use; others wait for their turn."""
        for name in names:
            entry = self._entries.get(name)
            if entry:
                entry.holders.discard(thread)
                if not entry.holders and _is_tail(entry):
                    self._drop(entry)

    def _is_pinned(self, entry: Entry) -> bool:
        return not entry.holders.isdisjoint(self.pinned)


def _is_tail(entry: Entry) -> bool:
    return entry.head.whole or entry.head.count < TOKENS


def _ignore(result: object) -> None:
    """Whether a file could be removed changes nothing: the books are right, and the next start looks again."""


def _common(held: bytes, tokens: bytes, at_least: int) -> int:
    """How many tokens two runs of int32 begin with in common, which are more than ``at_least``."""
    low, high = at_least + 1, min(len(held), len(tokens)) // 4
    if high < low:
        return at_least
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if held[: 4 * middle] == tokens[: 4 * middle] else (low, middle - 1)
    return low
