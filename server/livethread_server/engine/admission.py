"""Which runs the worker has and which wait for it: first come, first served, within slots and cells of each kind.

A run takes a slot and the cells it may come to need, so that the worker can always admit what it gets.
This module must never know processes or outputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.wire import Ready, Submit


class Room(Struct, frozen=True):
    """What a worker has: ``slots`` for runs of threads, ``cells`` of KV for all of those, ``context`` tokens for each.
    The runs of tasks have ``task_slots`` and a whole context in each.
    """

    slots: int
    cells: int
    context: int
    task_slots: int = 0

    @classmethod
    def of(cls, ready: Ready) -> Room:
        """The room a ready worker has."""
        return cls(ready.sequences, ready.cells, ready.context, ready.task_sequences)

    def fits(self, given: Collection[Given], need: int, *, side: bool) -> bool:
        """Whether one more run of a kind has room beside those of its kind."""
        alike = [one.cells for one in given if one.side is side]
        slots = self.task_slots if side else self.slots
        cells = slots * self.context if side else self.cells
        return len(alike) < slots and sum(alike) + need <= cells


class Given(Struct, frozen=True):
    """What a run that the worker has may come to need."""

    cells: int
    side: bool


class Admission:
    """The queues in front of the worker: at most ``queued_runs`` of threads wait in one, ``queued_tasks`` of tasks in
    the other, and neither waits for the other.
    """

    def __init__(self, queued_runs: int, queued_tasks: int = 0) -> None:
        self._most = {False: queued_runs, True: queued_tasks}
        self._waiting: dict[bool, deque[Submit]] = {False: deque(), True: deque()}
        self._given: dict[str, Given] = {}
        self._alone: set[str] = set()
        self._room: Room | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """The runs of threads that wait, in order."""
        return tuple(submit.run for submit in self._waiting[False])

    @property
    def waiting_tasks(self) -> tuple[str, ...]:
        """The runs of tasks that wait, in order."""
        return tuple(submit.run for submit in self._waiting[True])

    @property
    def given(self) -> bool:
        """Whether the worker has a run."""
        return bool(self._given)

    def offer(self, submit: Submit) -> None:
        """Put a run at the end. Raises `CommandError` ``queue_full``, and ``unsupported`` where there is no sequence
        for tasks.
        """
        if submit.side and self._room is not None and not self._room.task_slots:
            raise CommandError(ErrorCode.UNSUPPORTED, "This server keeps no sequences for tasks. Use threads instead.")
        line, most = self._waiting[submit.side], self._most[submit.side]
        must_wait = bool(line) or not self._fits(submit)
        if must_wait and len(line) >= most:
            raise CommandError(
                ErrorCode.QUEUE_FULL,
                f"{len(line)} runs{' of tasks' if submit.side else ''} are waiting, which is the limit. "
                "Try again when one has finished.",
                queued_runs=most,
            )
        line.append(submit)

    def take_back(self, submits: Sequence[Submit]) -> None:
        """Put runs that the worker had, and could not finish, before those that wait; they were taken, so that
        no limit holds.
        """
        for submit in reversed(submits):
            self._waiting[submit.side].appendleft(submit)

    def open(self, room: Room) -> None:
        """A worker with this room is there, and has no runs."""
        self._room = room
        self._given.clear()

    def close(self) -> None:
        """The worker is gone, and its runs with it; those that wait stay."""
        self._room = None
        self._given.clear()

    def isolate(self, run: str) -> None:
        """From now on the worker has this run only while it has no other."""
        self._alone.add(run)

    def trust(self, run: str) -> None:
        """The run may be beside others again."""
        self._alone.discard(run)

    def next(self) -> Submit | None:
        """The next run for the worker, which now has it, threads' before tasks'; None while the first ones do not
        fit.
        """
        for line in self._waiting.values():
            if line and self._given and line[0].run in self._alone:
                return None  # it waits until all others are over, so none may be added
            if line and self._fits(line[0]):
                submit = line.popleft()
                self._given[submit.run] = Given(self._need(submit), submit.side)
                return submit
        return None

    def withdraw(self, run: str) -> bool:
        """Take a waiting run out; whether it was waiting."""
        for line in self._waiting.values():
            for submit in line:
                if submit.run == run:
                    line.remove(submit)
                    return True
        return False

    def release(self, run: str) -> None:
        """The run is over."""
        self._given.pop(run, None)
        self._alone.discard(run)

    def _fits(self, submit: Submit) -> bool:
        if self._room is None:
            return False
        if self._given and (submit.run in self._alone or not self._alone.isdisjoint(self._given)):
            return False
        return self._room.fits(self._given.values(), self._need(submit), side=submit.side)

    def _need(self, submit: Submit) -> int:
        context = self._room.context if self._room else 0
        most = submit.sampling.max_tokens
        return context if most is None else min(len(submit.tokens) + most, context)
