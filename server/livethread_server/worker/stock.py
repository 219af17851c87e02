"""The chunks on their shelves: written, copied, read, and let go, each tier within its budget.

All methods belong to the loop's OS thread; files are read and written by others. This module must never know
which chunks make a thread's context, sequences, runs or what rows mean.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from livethread_server.worker.chains import Chains, Part
from livethread_server.worker.chunk import TAG_SIZE, TOKENS, BadChunk, Bytes, Head
from livethread_server.worker.files import READERS, Files
from livethread_server.worker.tier import REST, Entry, Tier, TierName

_log = logging.getLogger(__name__)


class Read(Struct, frozen=True):
    """What came of reading one chunk: where its rows came from, None where they cannot be had; and which shelves
    turned out not to have it.
    """

    source: TierName | None
    missing: tuple[TierName, ...]


class Stock:
    """``tiers`` are ordered: what does not fit the first goes to the next. There may be none.

    ``written`` is called with an entry's holders after it was written, or could not be. ``pending`` counts bytes
    that are being written, ``dropped`` chunks that went from a tier for lack of room. What threads in ``pinned``
    hold goes last, and what those that ``running`` names when it is asked. ``changed`` gathers the threads whose
    chunks have come or gone.
    """

    def __init__(self, tiers: Iterable[Tier], files: Files, written: Callable[[Iterable[str]], None]) -> None:
        self.tiers: dict[TierName, Tier] = {tier.name: tier for tier in tiers}
        self.chains = Chains()
        self.pinned: set[str] = set()
        self.running: Callable[[], Iterable[str]] = tuple
        self.changed: set[str] = set()
        self.pending = 0
        self.dropped = 0
        self._files = files
        self._written = written
        self._buffers: list[Bytes] = []

    def found(self, head: Head, tier: Tier) -> None:
        """A chunk was there on a shelf already."""
        entry = self.chains.get(head.name) or self.chains.enter(head)
        entry.there.add(tier.name)
        tier.add(entry)

    def touch(self, names: Sequence[bytes]) -> None:
        """They were used just now. A beginning must outlive what follows it, so it counts as used last."""
        for entry in reversed(self.chains.of(names)):
            for tier in self.tiers.values():
                tier.touch(entry)

    # Writing

    def shelve(self, entry: Entry) -> None:
        """Put new rows on the first shelf that has room."""
        if not any(self.put(entry, tier) for tier in self.tiers.values()):
            self.drop(entry)

    def put(self, entry: Entry, tier: Tier) -> bool:
        """Have an entry written to a shelf; False where it has no room."""
        size = entry.head.file_size
        if entry.on(tier.name):
            return True
        if tier.rests_until > time.monotonic() or not self.make_room(tier, size, side=entry.side):
            return False
        tier.add(entry)
        self.pending += size
        entry.coming.add(tier.name)
        rows, head = entry.rows, entry.head
        other = next((each for each in self.tiers.values() if each.name in entry.there), None)

        def write() -> None:
            if rows is not None:
                tier.shelf.write(head, rows)
            elif other is not None:
                tier.shelf.write(head, _rows_on(other, head))

        self._files.write(write, lambda result: self._was_written(entry, tier, result))
        return True

    def _was_written(self, entry: Entry, tier: Tier, result: object) -> None:
        self.pending -= entry.head.file_size
        if self.chains.get(entry.head.name) is not entry:
            return
        entry.coming.discard(tier.name)
        if isinstance(result, Exception):
            self._could_not_write(entry, tier, result)
        else:
            entry.there.add(tier.name)
            entry.rows = None if not entry.coming else entry.rows
        self.changed.update(entry.holders)
        self._written(tuple(entry.holders))

    def _could_not_write(self, entry: Entry, tier: Tier, error: Exception) -> None:
        tier.remove(entry)
        if isinstance(error, OSError):
            if tier.rests_until < time.monotonic():
                _log.warning("A chunk cannot be written to the %s cache: %s.", tier.name, error)
            tier.rests_until = time.monotonic() + REST
        elif entry.rows is None:  # where it was to be copied from it is not whole
            for name in tuple(entry.there):
                self._missed(entry, name)
        if entry.rows is not None and not entry.coming and not entry.there:
            self.shelve(entry)
        if entry.lost:
            self.drop(entry)

    # Reading

    def read(self, part: Part, use: Callable[[Bytes], None], then: Callable[[Read], None]) -> None:
        """Have ``use`` called with a chunk's rows in an OS thread that reads, valid only during the call."""
        entry = part.entry
        rows = entry.rows
        shelves = [tier for tier in self.tiers.values() if tier.name in entry.there]

        def read() -> Read:
            if rows is not None:
                use(rows)
                return Read("ram", ())
            return self._read(entry.head, shelves, use)

        def done(result: Read | Exception) -> None:
            told = Read(None, ()) if isinstance(result, Exception) else result
            for name in told.missing:
                self._missed(entry, name)
            then(told)

        self._files.read(read, done)

    def _read(self, head: Head, shelves: Sequence[Tier], use: Callable[[Bytes], None]) -> Read:
        missing: list[TierName] = []
        buffer = self._take_buffer(head)
        for tier in shelves:
            try:
                found = tier.shelf.read(head, buffer)
            except (BadChunk, OSError):
                missing.append(tier.name)
            else:
                use(found)
                break
        if buffer is not None:
            self._buffers.append(buffer)
        return Read(next((tier.name for tier in shelves if tier.name not in missing), None), tuple(missing))

    def _take_buffer(self, head: Head) -> Bytes | None:
        """A buffer for a chunk of the usual size, one that was used before where there is one."""
        if head.whole:
            return None
        try:
            return self._buffers.pop()
        except IndexError:
            return np.empty(TOKENS * head.width + TAG_SIZE, np.uint8)

    def prepare(self, width: int) -> None:
        """Touch the buffers that are read into: fresh memory is slow, and somebody will be waiting."""
        for _ in range(READERS):
            self._files.read(lambda: np.ones(TOKENS * width + TAG_SIZE, np.uint8), self._prepared)

    def _prepared(self, buffer: Bytes | Exception) -> None:
        if not isinstance(buffer, Exception):
            self._buffers.append(buffer)

    # Letting go

    def release(self, thread: str, names: Iterable[bytes]) -> None:
        """The thread holds them no more. A tail that nobody holds is of no use; others wait for their turn."""
        for entry in self.chains.of(names):
            entry.holders.discard(thread)
            if not entry.holders and entry.is_tail:
                self.drop(entry)

    def make_room(self, tier: Tier, size: int, *, side: bool = False) -> bool:
        """Let go what was used longest ago; False where that is not enough, or more than may go at once. For a task's
        (``side``) nothing goes that threads hold.
        """
        if size > tier.budget:
            return False
        if not tier.lacks(size):
            return True
        there = [each for each in tier.oldest(self._spared()) if not side or each.side or not each.holders]
        if side and sum(each.head.file_size for each in there) < tier.lacks(size):
            return False
        for entry in there:
            if tier.name == "ram" and "disk" in self.tiers and entry.holders and "disk" not in entry.there:
                continue
            self.take_off(entry, tier)
            if not tier.lacks(size):
                return True
        return False

    def take_off(self, entry: Entry, tier: Tier) -> None:
        """Remove an entry from one shelf."""
        name = entry.head.name
        entry.there.discard(tier.name)
        tier.remove(entry)
        self._files.write(lambda: tier.shelf.remove(name), _ignore)
        self.dropped += 1
        self.changed.update(entry.holders)
        if entry.lost:
            self.drop(entry)

    def _missed(self, entry: Entry, name: TierName) -> None:
        """A shelf turned out not to have it, or not whole."""
        entry.there.discard(name)
        self.tiers[name].remove(entry)
        self.changed.update(entry.holders)
        if entry.lost:
            self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """Let go of an entry wherever it is."""
        name = entry.head.name
        if not self.chains.remove(entry):
            return
        for tier in self.tiers.values():
            if entry.on(tier.name):
                tier.remove(entry)
                self._files.write(lambda tier=tier: tier.shelf.remove(name), _ignore)  # type: ignore[misc]
        entry.rows = None
        entry.there.clear()
        entry.coming.clear()
        self.changed.update(entry.holders)

    def _spared(self) -> Callable[[Entry], bool]:
        threads = self.pinned.union(self.running())
        return lambda entry: not entry.holders.isdisjoint(threads)

    def is_pinned(self, entry: Entry) -> bool:
        """Whether a pinned thread holds it."""
        return not entry.holders.isdisjoint(self.pinned)


def _rows_on(tier: Tier, head: Head) -> Bytes:
    """What a shelf has of a chunk. Raises `BadChunk`: that it cannot be read says nothing against writing elsewhere."""
    try:
        return tier.shelf.read(head)
    except OSError as error:
        raise BadChunk(f"it cannot be read: {error}") from None


def _ignore(result: object) -> None:
    """Whether a file could be removed changes nothing: the books are right, and the next start looks again."""
