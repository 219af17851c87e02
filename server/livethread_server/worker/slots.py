"""The sequence ids of a context and the KV under them: borrowed, filled, moved, let go.

Keeps what `cache` and `Sequence` believe and what llama.cpp holds the same. This module must never know
how tokens are drawn or told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

from livethread_server.engine.wire import Ingest, Submit, Warm
from livethread_server.worker.cache import Place, misplaced, place, victim
from livethread_server.worker.llama import Context, DecodeFailed, State
from livethread_server.worker.sequence import Sequence

Wanted = Submit | Ingest | Warm
"""Who wants its tokens in KV."""

PATIENCE = 4
"""Steps that running sequences may lie apart before one is moved: about what moving costs."""


class Slots:
    """All sequences of a context. What moves is noted until `moved` is asked for it.

    ``save`` is called with a sequence before another thread takes it. ``pinned`` threads' are taken last. ``tasks``
    of them are for tasks, the others for threads: it is their number that counts, not which ones.
    """

    def __init__(
        self,
        context: Context,
        save: Callable[[Sequence], None] = lambda _: None,
        pinned: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        tasks: int = 0,
    ) -> None:
        self.tasks = tasks
        self._context = context
        self._save = save
        self._pinned = pinned
        self._clock = clock
        self._all = [Sequence(number) for number in range(context.sequences)]
        self._moved: list[tuple[str, int | None]] = []
        self._apart = 0
        self._uses = 0

    def __getitem__(self, number: int) -> Sequence:
        return self._all[number]

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._all)

    def running(self) -> Iterator[Sequence]:
        """The sequences that runs are using, by ascending id."""
        return (slot for slot in self._all if not slot.idle)

    @property
    def room(self) -> int:
        """How many sequences threads' runs could have now, whoever's they are."""
        return len(self._all) - self.tasks - sum(not slot.side for slot in self.running())

    def of(self, thread: str) -> Sequence | None:
        """The sequence that holds most of a thread, a running one before others; None where none does."""
        own = [slot for slot in self._all if slot.thread == thread]
        return max(own, key=lambda slot: (not slot.idle, slot.in_kv), default=None)

    def moved(self) -> tuple[tuple[str, int | None], ...]:
        """The threads that came to a sequence since the last call, with the tokens there; None for those that
        lost theirs.
        """
        moved = tuple(self._moved)
        self._moved.clear()
        return moved

    def choose(self, wanted: Wanted, may_give_up: Callable[[Sequence], bool] = lambda _: True) -> Place | None:
        """Where its tokens would lie and begin; None while every sequence that may be taken is in use."""
        return place(
            self._all,
            thread=wanted.thread,
            tenant=wanted.tenant,
            tokens=wanted.tokens,
            can_keep=self._context.can_keep,
            pinned=self._pinned,
            may_give_up=may_give_up,
            tasks=self.tasks,
        )

    def take(self, wanted: Wanted, chosen: Place, state: State | None = None) -> Sequence:
        """Leave exactly the reused tokens under the chosen id, or those of a state that is put there.

        Raises `DecodeFailed`, then it is empty.
        """
        slot = chosen.target
        if slot.thread not in (wanted.thread, None) and (state is not None or not chosen.goes_on):
            self._save(slot)
        try:
            self._prepare(slot, chosen, state)
        except DecodeFailed:
            self.drop(slot)
            raise
        if slot.thread not in (wanted.thread, None):
            self._left(slot)
        fresh = state is not None or chosen.source is not None
        slot.marks = {} if fresh else {at: mark for at, mark in slot.marks.items() if at <= chosen.reuse}
        if slot.thread != wanted.thread:
            slot.saved = slot.eager = 0
        slot.thread, slot.tenant, slot.shared = wanted.thread, wanted.tenant, wanted.shared
        slot.tokens = list(wanted.tokens)
        slot.in_kv = chosen.reuse
        if state is not None:
            slot.saved = chosen.reuse
        elif slot.saved > chosen.reuse:
            slot.saved = 0
        self.arrived(slot)
        return slot

    def must_save(self, wanted: Wanted, chosen: Place) -> bool:
        """Whether KV would be saved that its thread loses."""
        slot = chosen.target
        return slot.dirty and slot.thread != wanted.thread and not chosen.goes_on

    def mark(self, slot: Sequence) -> None:
        """Make it possible to go back to here while the sequence is live, where memory cannot be cut."""
        if not self._context.model.cuttable and slot.in_kv:
            kept = sorted(at for at in slot.marks if at < slot.in_kv)[-1:]
            slot.marks = {at: slot.marks[at] for at in kept} | {slot.in_kv: self._context.mark(slot.id)}

    def _prepare(self, slot: Sequence, chosen: Place, state: State | None) -> None:
        if state is not None:
            self._context.restore(slot.id, state)
        elif chosen.source:
            self._context.drop(slot.id)
            self._context.copy_prefix(chosen.source.id, slot.id, chosen.reuse)
        elif chosen.reuse == 0:
            self._context.drop(slot.id)
        elif chosen.reuse < slot.in_kv and self._context.can_keep(slot.id, chosen.reuse):
            self._context.cut(slot.id, chosen.reuse)
        elif chosen.reuse < slot.in_kv:
            self._context.rewind(slot.id, chosen.reuse, slot.marks[chosen.reuse])

    def release(self, slot: Sequence) -> None:
        """The run is over: keep what is in KV for the thread, if there still is one."""
        slot.run = None
        slot.cut(slot.in_kv)
        self.used(slot)
        if slot.thread is None or slot.in_kv == 0:
            self.drop(slot)
        else:
            self.arrived(slot)

    def used(self, slot: Sequence) -> None:
        """It was used just now."""
        self._uses += 1
        slot.used, slot.used_at = self._uses, self._clock()

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

    def give_up_one(self, spare: Collection[Sequence] = ()) -> bool:
        """Save and drop the idle sequence that was used least recently, but none of ``spare``; False where there is
        none.
        """
        others = (each for each in self._all if each not in spare)
        slot = victim(others, self._pinned, side=any(each.side for each in spare))
        if slot is not None:
            self._save(slot)
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
        self._moved.append((slot.thread, None))

    def arrived(self, slot: Sequence) -> None:
        """So much of a thread is live now, which is worth telling."""
        assert slot.thread is not None
        self._moved.append((slot.thread, slot.in_kv))
