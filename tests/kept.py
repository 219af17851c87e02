"""The tiers of contexts without an engine: an archive over real folders, and shelves on a disk that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Bytes, Head, Namer, scope_of
from livethread_server.worker.files import Files
from livethread_server.worker.shelf import Note, Shelf, key_in
from livethread_server.worker.tier import Tier, TierName

NAMER = Namer(b"f" * 32, 100)
PLENTY = 1 << 30
ALICE, BOB = scope_of("alice"), scope_of("bob")


class FailingShelf(Shelf):
    """A shelf that cannot be written to while ``failure`` says why."""

    failure: OSError | None = None

    def write(self, head: Head, rows: Bytes) -> None:
        if self.failure is not None:
            raise self.failure
        super().write(head, rows)

    def write_note(self, note: Note, *, durable: bool = False) -> None:
        if self.failure is not None:
            raise self.failure
        super().write_note(note, durable=durable)


def tier_in(folder: Path, name: TierName, budget: int = PLENTY) -> Tier:
    """A tier whose shelf can be made to fail."""
    return Tier(name, FailingShelf(folder / name, key=key_in(folder / name), durable=name == "disk"), budget)


def fail(tier: Tier, failure: OSError | None) -> None:
    """Have a tier of `tier_in` fail from now on, or no longer."""
    assert isinstance(tier.shelf, FailingShelf)
    tier.shelf.failure = failure


def tokens(count: int, first: int = 0) -> bytes:
    """So many tokens, counted up, as int32."""
    return np.arange(first, first + count, dtype="<i4").tobytes()


def rows_for(heads: list[Head]) -> dict[bytes, Bytes]:
    """Rows that tell whose they are, by name."""
    return {head.name: np.full(head.size, head.tokens[0], np.uint8) for head in heads}


class Kept:
    """An archive over the folders ``ram`` and ``disk`` of a folder; a budget of 0 is no tier."""

    def __init__(self, folder: Path, **budgets: int) -> None:
        self.files = Files(lambda: None)
        self.folder = folder
        names: tuple[TierName, ...] = ("ram", "disk")
        self.tiers = {
            name: tier_in(folder, name, budgets.get(name, PLENTY)) for name in names if budgets.get(name, PLENTY)
        }
        self.archive = Archive(self.tiers.values(), self.files, NAMER.fingerprint)

    def settle(self, *, idle: bool = True) -> None:
        """Come back when everything is written."""
        assert self.files.settle(10)
        while True:
            self.archive.balance(idle=idle)
            if not self.files.busy:
                return
            assert self.files.settle(10)

    def keep(self, thread: str, data: bytes, scope: bytes = ALICE, shared: int = 0) -> list[Head]:
        """These tokens are a thread's context; its chunks."""
        heads = NAMER.chain(data, scope, shared)
        self.archive.keep(thread, heads, rows_for(self.archive.missing(heads)))
        self.settle()
        return heads

    def sink(self, thread: str) -> None:
        """Put a thread on disk."""
        done: list[bool] = []
        self.archive.sink(thread, lambda: done.append(True))
        self.settle()
        assert done == [True]

    def found(self, data: bytes, scope: bytes = ALICE) -> int:
        """How many of these tokens can be had."""
        return sum(part.count for part in self.archive.find(data, scope, len(data) // 4))

    def files_in(self, tier: str) -> int:
        """How many chunks' files there are."""
        return len(list((self.folder / tier / "chunks").iterdir()))
