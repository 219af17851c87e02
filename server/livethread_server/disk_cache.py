"""The disk tier looked at from outside, while no server uses it: what is there, what may go, what is damaged.

It reads files as the engine writes them; it must never know models, prompts or what rows mean.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from livethread_server.worker.chunk import FIXED_SIZE, BadChunk, Head, head_size, unpack_head
from livethread_server.worker.shelf import TEMPORARY, Shelf, key_in


class Found(Struct, frozen=True):
    """A file of chunks: its head (None where it is no chunk), bytes, and when it was used last."""

    path: Path
    head: Head | None
    size: int
    used_at: float


class DiskCache:
    """The cache in ``folder``, which need not exist. Every method raises OSError where it cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stats(self) -> dict[str, Any]:
        """What is there, in the words of the running server's figures."""
        found, holders = list(self._found()), self._holders()
        chunks = [one for one in found if one.head is not None]
        sizes = {one.head.name: one.size for one in chunks if one.head is not None}
        return {
            "threads": {"disk": self._threads()},
            "tiers": {"disk": {"chunks": len(chunks), "bytes": sum(one.size for one in chunks)}},
            "saved_bytes": sum((count - 1) * sizes.get(name, 0) for name, count in holders.items()),
            "unused_bytes": sum(size for name, size in sizes.items() if name not in holders),
            "foreign_bytes": sum(one.size for one in found if one.head is None),
        }

    def prune(self, size: int | None) -> tuple[int, int]:
        """Remove what belongs to no thread; then, where ``size`` is given, what was used longest ago until no more
        than that is left. How many files were removed, and their bytes."""
        holders = self._holders()
        found = sorted(self._found(), key=lambda one: one.used_at)
        gone = [one for one in found if one.head is None or one.head.name not in holders]
        self._sweep()
        if size is not None:
            left = [one for one in found if one.head is not None and one.head.name in holders]
            bytes_left = sum(one.size for one in left)
            for one in left:
                if bytes_left <= size:
                    break
                gone.append(one)
                bytes_left -= one.size
        for one in gone:
            one.path.unlink(missing_ok=True)
        return len(gone), sum(one.size for one in gone)

    def verify(self) -> tuple[int, int]:
        """Read every file and remove those that are not what was written: how many were right, how many went."""
        found = list(self._found())
        if not found:
            return 0, 0
        self._sweep()
        shelf, bad = Shelf(self._folder, key=key_in(self._folder), durable=True), 0
        for one in found:
            try:
                if one.head is None:
                    raise BadChunk("it is no chunk")
                shelf.read(one.head)
            except BadChunk:
                one.path.unlink(missing_ok=True)
                bad += 1
            else:
                os.utime(one.path, (one.used_at, one.used_at))  # looking at it is not using it
        list(shelf.notes())  # removes those that are damaged
        return len(found) - bad, bad

    def _found(self) -> Iterator[Found]:
        folder = self._folder / "chunks"
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and not path.is_symlink() and path.suffix != TEMPORARY:
                about = path.stat()
                yield Found(path, _head_of(path, about.st_size), about.st_size, about.st_mtime)

    def _sweep(self) -> None:
        """Remove what a death left half written: that is no damage."""
        for path in self._folder.glob(f"*/*{TEMPORARY}"):
            path.unlink(missing_ok=True)

    def _threads(self) -> int:
        return sum(1 for _ in self._notes())

    def _holders(self) -> Counter[bytes]:
        """How many threads' contexts each chunk is part of, by name."""
        return Counter(name for names in self._notes() for name in names)

    def _notes(self) -> Iterator[tuple[bytes, ...]]:
        if (self._folder / "threads").is_dir():
            shelf = Shelf(self._folder, key=key_in(self._folder), durable=True)
            yield from (note.names for note in shelf.notes())


def _head_of(path: Path, size: int) -> Head | None:
    with path.open("rb") as file:
        data = file.read(FIXED_SIZE)
        data += file.read(max(0, head_size(data) - FIXED_SIZE))
    try:
        head = unpack_head(data, size)
    except BadChunk:
        return None
    return head if head.name.hex() == path.name else None
