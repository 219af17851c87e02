"""Which chunks make which thread's context, and the notes that say so on the shelves.

All methods belong to the loop's OS thread; notes are read at the start and written by another. This module must
never know sequences, runs or what rows mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from livethread.model import Residency
from livethread_server.engine.wire import is_side
from livethread_server.worker.chunk import Head
from livethread_server.worker.files import Files
from livethread_server.worker.shelf import Note
from livethread_server.worker.stock import Stock
from livethread_server.worker.tier import Tier, TierName


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

    def give_notice(self) -> None:
        """Call all who wait for the thread to be on disk."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()


class Holdings:
    """The holdings of all threads of whose context there is something."""

    def __init__(self, stock: Stock, files: Files) -> None:
        self._stock = stock
        self._files = files
        self._threads: dict[str, Holding] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._threads))

    def get(self, thread: str) -> Holding | None:
        """What a thread holds."""
        return self._threads.get(thread)

    def read_notes(self) -> None:
        """Hold what the notes say. What RAM says about a thread is newer than what the disk says."""
        for name in ("disk", "ram"):
            tier = self._stock.tiers.get(name)
            for note in tier.shelf.notes() if tier is not None else ():
                holding = self._threads.setdefault(note.thread, Holding(note.names))
                holding.names = note.names
                if name == "disk":
                    holding.noted = note.names
        for thread, holding in list(self._threads.items()):
            self._hold(thread, (*holding.noted, *holding.names))
            if self.where(thread)[0] == "cold":
                self.forget(thread)

    def where(self, thread: str) -> tuple[Residency, int]:
        """From where how many of a thread's first tokens can be had; the slowest shelf counts."""
        holding = self._threads.get(thread)
        slowest: Residency = "disk" if holding and holding.left_ram else "ram"
        count = 0
        for name in holding.names if holding else ():
            entry = self._stock.chains.get(name)
            if entry is None:
                break
            if not entry.on("ram"):
                slowest = "disk"
            count += entry.head.count
        return (slowest, count) if count else ("cold", 0)

    def holds(self, thread: str, heads: Sequence[Head]) -> bool:
        """Whether exactly these chunks are known as the thread's context, and all can be had."""
        holding = self._threads.get(thread)
        names = tuple(head.name for head in heads)
        return holding is not None and holding.names == names and all(name in self._stock.chains for name in names)

    def rename(self, thread: str, names: tuple[bytes, ...]) -> None:
        """These chunks are the thread's context now."""
        holding = self._threads.setdefault(thread, Holding(names))
        before, holding.names, holding.left_ram = holding.names, names, False
        self._hold(thread, names)
        self._stock.release(thread, set(before) - set(names) - set(holding.noted))
        self._stock.changed.add(thread)

    def forget(self, thread: str) -> None:
        """The thread is gone: what nobody else holds is removed."""
        holding = self._threads.pop(thread, None)
        if holding is None:
            return
        for entry in self._stock.chains.of({*holding.names, *holding.noted}):
            entry.holders.discard(thread)
            if not entry.holders:
                self._stock.drop(entry)
        for tier in () if is_side(thread) else self._stock.tiers.values():
            self._files.write(lambda tier=tier: tier.shelf.remove_note(thread), _ignore)  # type: ignore[misc]
        self._stock.changed.add(thread)
        holding.give_notice()

    def _hold(self, thread: str, names: Iterable[bytes]) -> None:
        for entry in self._stock.chains.of(names):
            entry.holders.add(thread)

    # Notes

    def note(self, thread: str, name: TierName, *, durable: bool = False) -> None:
        """Have the thread's note written to a shelf, where there is one; a task need not be known again."""
        tier, holding = self._stock.tiers.get(name), self._threads[thread]
        if tier is None or is_side(thread) or (name == "disk" and holding.noting):
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
            holding.give_notice()
            return
        before, holding.noted = holding.noted, note.names
        self._stock.release(note.thread, set(before) - set(note.names) - set(holding.names))
        self.noted_enough(note.thread)

    def noted_enough(self, thread: str) -> None:
        """Write the thread's note to disk once all of its chunks are there."""
        holding = self._threads.get(thread)
        if holding is None or "disk" not in self._stock.tiers or holding.noting:
            return
        entries = [self._stock.chains.get(name) for name in holding.names]
        if all(entry and "disk" in entry.there for entry in entries):
            if holding.noted == holding.names or is_side(thread):
                holding.give_notice()
            else:
                self.note(thread, "disk", durable=bool(holding.waiting))
        elif not any(entry and "disk" in entry.coming for entry in entries):
            holding.give_notice()


def _ignore(result: object) -> None:
    """Whether a note could be removed changes nothing: the thread is forgotten again when it is found."""
