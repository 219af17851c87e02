"""Which runs the worker has and which wait for it, within slots and cells.

A run takes a slot and the cells it may come to need, so that the worker can always admit what it gets. Threads' runs
and tasks' stand in a line each, with room of its own: neither waits for the other. Among threads' whoever comes first
is served first, of tasks the tenants take turns. This module must never know processes or outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.turns import Turns, fits_share
from livethread_server.engine.wire import Ready, Submit


class Room(Struct, frozen=True):
    """What a worker has: ``slots`` for threads' runs, ``cells`` of KV for all of these, ``context`` tokens for each;
    and ``task_slots`` for tasks' runs, with a context of cells each.
    """

    slots: int
    cells: int
    context: int
    task_slots: int = 0

    @classmethod
    def of(cls, ready: Ready) -> Room:
        """The room a ready worker has."""
        return cls(ready.sequences, ready.cells, ready.context, ready.task_sequences)


class _Line:
    """The runs of one kind: those that wait, at most ``most``, and the cells of those that the worker has. Where it is
    ``fair`` that is one tenant's bound.
    """

    def __init__(self, most: int, limit: str, *, fair: bool) -> None:
        self.waiting = Turns(fair=fair)
        self.cells: dict[str, int] = {}
        self.slots = 0
        self._all_cells = 0
        self._context = 0
        self.most = most
        self._limit = limit

    def open(self, slots: int, cells: int, context: int) -> None:
        """A worker has so much for these runs."""
        self.slots, self._all_cells, self._context = slots, cells, context
        self.cells.clear()

    def offer(self, submit: Submit, *, fits: bool) -> None:
        """Put a run at the end. Raises `CommandError` ``queue_full``."""
        everybody, mine = len(self.waiting), self.waiting.count(submit)
        if (everybody or not fits) and not fits_share(mine + 1, everybody + 1, self.most):
            raise CommandError(
                ErrorCode.QUEUE_FULL,
                f"{everybody} runs are waiting, and no more of yours may. Try again when one has finished.",
                **{self._limit: self.most},
            )
        self.waiting.add(submit)

    def fits(self, submit: Submit) -> bool:
        """Whether there is a slot and enough cells."""
        if len(self.cells) >= self.slots:
            return False
        return sum(self.cells.values()) + self._need(submit) <= self._all_cells

    def give(self) -> Submit:
        """Let the worker have the first one."""
        submit = self.waiting.take()
        self.cells[submit.run] = self._need(submit)
        return submit

    def _need(self, submit: Submit) -> int:
        most = len(submit.forced) or submit.sampling.max_tokens
        return self._context if most is None else min(len(submit.tokens) + most, self._context)


class Admission:
    """The lines in front of the worker; at most ``queued_runs`` of threads wait, and ``queued_tasks`` of a tenant's
    tasks, of all tenants together less than twice as many.
    """

    def __init__(self, queued_runs: int, queued_tasks: int = 0) -> None:
        self._threads = _Line(queued_runs, "queued_runs", fair=False)
        self._tasks = _Line(queued_tasks, "queued_tasks", fair=True)
        self._lines = (self._threads, self._tasks)
        self._alone: set[str] = set()

    @property
    def waiting(self) -> tuple[str, ...]:
        """The runs that wait, in order, threads' first."""
        return tuple(run for _, run in self.positions())

    @property
    def given(self) -> bool:
        """Whether the worker has a run."""
        return any(line.cells for line in self._lines)

    def positions(self) -> Iterator[tuple[int, str]]:
        """The place of each run that waits in its line, from 1."""
        for line in self._lines:
            for place, submit in enumerate(line.waiting):
                yield place + 1, submit.run

    @property
    def most_of_a_task(self) -> int:
        """How many runs one task can ever have at once, those that wait included, with the worker that is there."""
        return self._tasks.slots + self._tasks.most

    def offer(self, submit: Submit) -> None:
        """Put a run at the end of its line. Raises `CommandError` ``queue_full``."""
        self._line(submit).offer(submit, fits=self._fits(submit))

    def take_back(self, submits: Sequence[Submit]) -> None:
        """Put runs that the worker had, and could not finish, before those that wait; they were taken, so that
        no limit holds.
        """
        for line in self._lines:
            line.waiting.put_back([submit for submit in submits if self._line(submit) is line])

    def open(self, room: Room) -> None:
        """A worker with this room is there, and has no runs."""
        self._threads.open(room.slots, room.cells, room.context)
        self._tasks.open(room.task_slots, room.task_slots * room.context, room.context)

    def close(self) -> None:
        """The worker is gone, and its runs with it; those that wait stay."""
        for line in self._lines:
            line.open(0, 0, 0)

    def isolate(self, run: str) -> None:
        """From now on the worker has this run only while it has no other."""
        self._alone.add(run)

    def trust(self, run: str) -> None:
        """The run may be beside others again."""
        self._alone.discard(run)

    @property
    def isolating(self) -> bool:
        """Whether the worker has a run that must be alone, or one is the next."""
        firsts = {line.waiting.first.run for line in self._lines if line.waiting}
        return not self._alone.isdisjoint(firsts | self._given())

    def next(self, *, vectors: bool = False, held: bool = False) -> Submit | None:
        """The next run for the worker, which now has it; None while none fits that is the first of its line.

        ``vectors`` says that the worker makes some: a run that must be alone waits for that. Others wait where they
        are ``held``: for vectors that must be alone.
        """
        line = next((line for line in self._first() if self._may(line.waiting.first, vectors, held)), None)
        return line.give() if line is not None else None

    def _may(self, submit: Submit, vectors: bool, held: bool) -> bool:
        return self._fits(submit) and not (vectors if submit.run in self._alone else held)

    def _first(self) -> list[_Line]:
        """The lines whose first one may go. Where that one must be alone nobody passes it, or it would wait forever."""
        lines = [line for line in self._lines if line.waiting]
        return [line for line in lines if line.waiting.first.run in self._alone] or lines

    def withdraw(self, run: str) -> bool:
        """Take a waiting run out; whether it was waiting."""
        return any(line.waiting.remove(run) for line in self._lines)

    def release(self, run: str) -> None:
        """The run is over."""
        for line in self._lines:
            line.cells.pop(run, None)
        self._alone.discard(run)

    def _line(self, submit: Submit) -> _Line:
        return self._tasks if submit.side else self._threads

    def _fits(self, submit: Submit) -> bool:
        given = self._given()
        if given and (submit.run in self._alone or not self._alone.isdisjoint(given)):
            return False
        return self._line(submit).fits(submit)

    def _given(self) -> set[str]:
        return self._threads.cells.keys() | self._tasks.cells.keys()
