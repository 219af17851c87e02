"""Which runs the worker has and which wait for it: first come, first served, within slots and cells.

A run takes a slot and the cells it may come to need, so that the worker can always admit what it gets.
This module must never know processes or outputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.wire import Ready, Submit


class Room(Struct, frozen=True):
    """What a worker has: ``slots`` for runs, ``cells`` of KV for all of them, ``context`` tokens for each."""

    slots: int
    cells: int
    context: int

    @classmethod
    def of(cls, ready: Ready) -> Room:
        """The room a ready worker has."""
        return cls(ready.sequences, ready.cells, ready.context)


class Admission:
    """The queue in front of the worker; at most ``queued_runs`` wait in it."""

    def __init__(self, queued_runs: int) -> None:
        self._queued_runs = queued_runs
        self._waiting: deque[Submit] = deque()
        self._cells: dict[str, int] = {}
        self._alone: set[str] = set()
        self._room: Room | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """The runs that wait, in order."""
        return tuple(submit.run for submit in self._waiting)

    @property
    def given(self) -> bool:
        """Whether the worker has a run."""
        return bool(self._cells)

    def offer(self, submit: Submit) -> None:
        """Put a run at the end. Raises `CommandError` ``queue_full``."""
        must_wait = bool(self._waiting) or not self._fits(submit)
        if must_wait and len(self._waiting) >= self._queued_runs:
            raise CommandError(
                ErrorCode.QUEUE_FULL,
                f"{len(self._waiting)} runs are waiting, which is the limit. Try again when one has finished.",
                queued_runs=self._queued_runs,
            )
        self._waiting.append(submit)

    def take_back(self, submits: Sequence[Submit]) -> None:
        """Put runs that the worker had, and could not finish, before those that wait; they were taken, so that
        no limit holds.
        """
        self._waiting.extendleft(reversed(submits))

    def open(self, room: Room) -> None:
        """A worker with this room is there, and has no runs."""
        self._room = room
        self._cells.clear()

    def close(self) -> None:
        """The worker is gone, and its runs with it; those that wait stay."""
        self._room = None
        self._cells.clear()

    def isolate(self, run: str) -> None:
        """From now on the worker has this run only while it has no other."""
        self._alone.add(run)

    def trust(self, run: str) -> None:
        """The run may be beside others again."""
        self._alone.discard(run)

    def next(self) -> Submit | None:
        """The next run for the worker, which now has it; None while the first one does not fit."""
        if not self._waiting or not self._fits(self._waiting[0]):
            return None
        submit = self._waiting.popleft()
        self._cells[submit.run] = self._need(submit)
        return submit

    def withdraw(self, run: str) -> bool:
        """Take a waiting run out; whether it was waiting."""
        kept = deque(submit for submit in self._waiting if submit.run != run)
        was_waiting = len(kept) < len(self._waiting)
        self._waiting = kept
        return was_waiting

    def release(self, run: str) -> None:
        """The run is over."""
        self._cells.pop(run, None)
        self._alone.discard(run)

    def _fits(self, submit: Submit) -> bool:
        if self._room is None or len(self._cells) >= self._room.slots:
            return False
        if self._cells and (submit.run in self._alone or not self._alone.isdisjoint(self._cells)):
            return False
        return sum(self._cells.values()) + self._need(submit) <= self._room.cells

    def _need(self, submit: Submit) -> int:
        context = self._room.context if self._room else 0
        most = submit.sampling.max_tokens
        return context if most is None else min(len(submit.tokens) + most, context)
