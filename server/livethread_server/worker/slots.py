"""The sequence ids of a context and the KV under them: borrowed, filled, moved, let go.

Keeps what `cache` and `Sequence` believe and what llama.cpp holds the same. This module must never know
how tokens are drawn or told.
"""

from __future__ import annotations

from collections.abc import Iterator

from livethread_server.engine.wire import Moved, Submit
from livethread_server.worker.cache import Place, misplaced, place, victim
from livethread_server.worker.llama import Context, DecodeFailed
from livethread_server.worker.sequence import Sequence

PATIENCE = 4
"""Steps that running sequences may lie apart before one is moved: about what moving costs."""


class Slots:
    """All sequences of a context. What moves is noted until `moved` is asked for it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._all = [Sequence(number) for number in range(context.sequences)]
        self._moved: list[Moved] = []
        self._apart = 0
        self._uses = 0

    def __getitem__(self, number: int) -> Sequence:
        return self._all[number]

    def running(self) -> Iterator[Sequence]:
        """The sequences that runs are using, by ascending id."""
        return (slot for slot in self._all if not slot.idle)

    def moved(self) -> tuple[Moved, ...]:
        """What moved since the last call."""
        moved = tuple(self._moved)
        self._moved.clear()
        return moved

    def choose(self, submit: Submit) -> Place | None:
        """Where a run would lie and begin; None while every sequence is in use."""
        return place(
            self._all,
            thread=submit.thread,
            tenant=submit.tenant,
            tokens=submit.tokens,
            can_keep=self._context.can_keep,
        )

    def take(self, submit: Submit, chosen: Place) -> Sequence:
        """Leave exactly the reused tokens under the chosen id. Raises `DecodeFailed`, then it is empty."""
        slot = chosen.target
        try:
            self._prepare(slot, chosen)
        except DecodeFailed:
            self.drop(slot)
            raise
        if slot.thread not in (submit.thread, None):
            self._left(slot)
        slot.thread, slot.tenant, slot.tokens = submit.thread, submit.tenant, list(submit.tokens)
        slot.in_kv = chosen.reuse
        self._moved.append(Moved(submit.thread, "live", slot.in_kv))
        return slot

    def _prepare(self, slot: Sequence, chosen: Place) -> None:
        if chosen.source:
            self._context.drop(slot.id)
            self._context.copy_prefix(chosen.source.id, slot.id, chosen.reuse)
        elif chosen.reuse == 0:
            self._context.drop(slot.id)
        elif chosen.reuse < slot.in_kv:
            self._context.cut(slot.id, chosen.reuse)

    def release(self, slot: Sequence) -> None:
        """The run is over: keep what is in KV for the thread, if there still is one."""
        self._uses += 1
        slot.run, slot.used = None, self._uses
        slot.cut(slot.in_kv)
        if slot.thread is None or slot.in_kv == 0:
            self.drop(slot)
        else:
            self._moved.append(Moved(slot.thread, "live", slot.in_kv))

    def drop(self, slot: Sequence) -> None:
        """Empty a sequence and take it from its thread."""
        self._context.drop(slot.id)
        if slot.thread is not None:
            self._left(slot)
        slot.clear()

    def distrust(self, slot: Sequence) -> None:
        """Decoding failed: its cells are not to be used, whoever has it."""
        self._context.drop(slot.id)
        slot.cut(0)

    def give_up_one(self) -> bool:
        """Drop the idle sequence that was used least recently; False where there is none."""
        slot = victim(self._all)
        if slot is not None:
            self.drop(slot)
        return slot is not None

    def forget(self, thread: str) -> None:
        """Drop the thread's idle sequence; one that runs loses its thread, and is dropped when it ends."""
        for slot in self._all:
            if slot.thread == thread and slot.idle:
                self.drop(slot)
            elif slot.thread == thread:
                self._left(slot)
                slot.thread = None

    def misplaced(self) -> tuple[Sequence, Sequence] | None:
        """Two to `swap` because the running ones have lain apart for `PATIENCE` calls."""
        pair = None
        if self._context.wants_neighbours:
            pair = misplaced((slot.id for slot in self.running()), len(self._all))
        self._apart = self._apart + 1 if pair else 0
        if pair is None or self._apart <= PATIENCE:
            return None
        return self._all[pair[0]], self._all[pair[1]]

    def swap(self, one: Sequence, other: Sequence) -> None:
        """Exchange two, KV and all. Raises `DecodeFailed`, then neither is to be trusted."""
        self._context.swap(one.id, other.id)
        one.swap(other)

    def _left(self, slot: Sequence) -> None:
        assert slot.thread is not None
        self._moved.append(Moved(slot.thread, "cold", 0))
