"""How a ``generate`` becomes a run: checked, placed and stored in one transaction, or refused with nothing
changed.

It must never know sockets, or what becomes of the run afterwards: that is `runs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.messages import CancelOk, Generate, GenerateOk, MutateOk, RunQueued
from livethread.model import Run, Sampling
from livethread_server.idempotency import answer_record, digest_of, recall, run_taken
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun
from livethread_server.mutation import RunUndo, mutate, plan_undo, then
from livethread_server.placement import Placement, busy, place, touches
from livethread_server.prompt import Prompt
from livethread_server.prompter import Prompter
from livethread_server.runs import Runs
from livethread_server.session import Session
from livethread_server.stamps import new_id, now
from livethread_server.store.base import RunRecord, Store
from livethread_server.transaction import Transaction

Answer = Callable[[Struct], None]
Before = asyncio.Future[MutateOk | GenerateOk | None]
"""What the same command was answered before, None where it is new; it may not be known yet."""


class _Repeated(Exception):  # noqa: N818 - the name says what happened
    """The command was answered before: nothing is to be done."""


class Arrival:
    """A ``generate`` of one principal that has come in and is not accepted yet, so that a cancel finds its run."""

    def __init__(self) -> None:
        self.commands = 0
        self.cancelled = False


class Acceptance:
    """Accepts runs, a lane at a time."""

    def __init__(
        self,
        store: Store,
        lanes: Lanes,
        runs: Runs,
        prompter: Prompter,
        queued_runs: int,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._runs = runs
        self._prompter = prompter
        self._queued_runs = queued_runs
        self._arrivals: dict[tuple[str, str], Arrival] = {}
        self._accepting: set[str] = set()

    def announce(self, session: Session, command: Generate) -> None:
        """Note a ``generate`` the moment it comes in: a cancel right behind it must find its run."""
        if command.run is not None:
            arrival = self._arrivals.setdefault((session.principal.id, command.run), Arrival())
            arrival.commands += 1

    def cancel(self, session: Session, run: str) -> CancelOk | None:
        """Cancel a run that is announced, not yet accepted; None where there is none."""
        arrival = self._arrivals.get((session.principal.id, run))
        if arrival is None:
            return None
        arrival.cancelled = True
        return CancelOk(run, "queued")

    async def generate(self, session: Session, command: Generate, answer: Answer) -> None:
        """Accept a run and answer, or raise `CommandError`. Every `announce` is followed by one of these."""
        try:
            async with self._lanes.hold(command.thread, session.principal, "participant") as lane:
                # Whether it was answered before is looked up beside all that comes before the engine is asked.
                before = asyncio.ensure_future(recall(self._store, session, command))
                try:
                    await self._accept_once(lane, session, command, answer, before)
                except (CommandError, _Repeated):
                    known = await before
                    if known is None:
                        raise
                    answer(known)
                finally:
                    before.cancel()
        finally:
            self._arrived(session, command)

    async def _accept_once(
        self, lane: Lane, session: Session, command: Generate, answer: Answer, before: Before
    ) -> None:
        if command.run is not None and self._runs.get(command.run) is not None and await before is not None:
            raise _Repeated
        with self._alone(command):
            await self._accept(lane, session, command, answer, before)

    async def _accept(self, lane: Lane, session: Session, command: Generate, answer: Answer, before: Before) -> None:
        transaction = lane.begin()
        transaction.expect(command.expect_version)
        told, proved = await self._prompter.sampling(lane.thread, command.sampling)
        self._prompter.check_model(lane.thread.model)
        if (trouble := self._runs.trouble) is not None:
            # It lives as long as the trouble does, and would gather the frames of every refusal.
            raise trouble.with_traceback(None)
        ending = self._in_the_way(lane, command)
        with self._runs.held(ending):
            self._runs.interrupt_in(transaction, ending, roll_back=command.if_busy == "rollback")
            run, made = self._place(lane, transaction, session, command, told, proved)
            run.ahead = len(lane.runs) - len(ending)
            prompt = await self._prompt(transaction, run)
            if await before is not None:
                raise _Repeated
            if prompt is not None:
                self._runs.submit(lane, run, prompt)
            ok = self._keep(transaction, session, command, run, made)
            await self._store_it(lane, transaction, run)
            self._runs.ended(lane, ending)
            self._runs.adopt(lane, run, command.timeout_ms)
        answer(ok)
        self._runs.publish(transaction)
        self._runs.follow(run)
        if session.ended:
            self._runs.session_ended(session.id)

    @contextmanager
    def _alone(self, command: Generate) -> Iterator[None]:
        """`CommandError` ``exists`` where a run of this id is being accepted on another thread."""
        if command.run is None:
            yield
            return
        if command.run in self._accepting or self._runs.get(command.run) is not None:
            raise run_taken(command.run)
        self._accepting.add(command.run)
        try:
            yield
        finally:
            self._accepting.remove(command.run)

    def _in_the_way(self, lane: Lane, command: Generate) -> Sequence[LiveRun]:
        """The runs that the command ends; `CommandError` ``busy`` where it may not."""
        if lane.runs and command.if_busy == "reject":
            raise busy([run.id for run in lane.runs])
        return () if command.if_busy == "enqueue" else tuple(lane.runs)

    def _place(
        self,
        lane: Lane,
        transaction: Transaction,
        session: Session,
        command: Generate,
        told: Sampling,
        proved: Sampling,
    ) -> tuple[LiveRun, tuple[str, ...]]:
        """Apply the ops and place the run's message; the run, and the ids that the ops made."""
        before, by, run_id = transaction.turns, session.principal, command.run or new_id("r")
        applied = mutate(before, command.ops, by, now())
        placed = place(applied.turns, command.mode, run_id, by, now())
        if command.if_busy == "enqueue" and touches(before, placed.mutation.turns, lane.unfinished()):
            raise busy([run.id for run in lane.runs])
        transaction.mutate(then(applied, placed.mutation), by)
        undo = RunUndo(plan_undo(before, placed.mutation.turns), plan_undo(applied.turns, placed.mutation.turns))
        record = _record(lane, transaction, session, command, run_id, placed, undo)
        run = LiveRun(record, told, proved, session.id)
        run.cancel_with_session = command.on_disconnect == "cancel"
        return run, applied.made

    async def _prompt(self, transaction: Transaction, run: LiveRun) -> Prompt | None:
        """What the engine is given at once; None for a run that waits for others of its thread."""
        if run.ahead:
            self._check_room()
            return None
        go_on = run.record.run.mode == "continue"
        return await self._prompter.prompt(transaction.thread, transaction.turns, run.message, go_on=go_on)

    def _check_room(self) -> None:
        if self._runs.waiting() >= self._queued_runs:
            raise CommandError(
                ErrorCode.QUEUE_FULL,
                f"{self._queued_runs} runs are waiting already. Try again when some have ended.",
                queued_runs=self._queued_runs,
            )

    def _keep(
        self,
        transaction: Transaction,
        session: Session,
        command: Generate,
        run: LiveRun,
        made: tuple[str, ...],
    ) -> GenerateOk:
        """Put the run, its answer and its place in the queue into the transaction."""
        ok = GenerateOk(
            run=run.id,
            message=run.message,
            messages=made,
            version=transaction.thread.version,
            position=run.position,
        )
        answer = msgspec.json.encode(ok)
        run.record = msgspec.structs.replace(run.record, answer=answer)
        run.keep(transaction, None)
        transaction.answer = answer_record(session, command, answer)
        if run.position:
            transaction.tell(RunQueued, run=run.id, position=run.position)
        return ok

    async def _store_it(self, lane: Lane, transaction: Transaction, run: LiveRun) -> None:
        try:
            await self._lanes.commit(lane, transaction)
        except BaseException:
            await self._runs.withdraw(run)
            raise

    def _arrived(self, session: Session, command: Generate) -> None:
        arrived = (session.principal.id, command.run or "")
        arrival = self._arrivals.get(arrived)
        if arrival is None:
            return
        arrival.commands -= 1
        if not arrival.commands:
            del self._arrivals[arrived]
        run = self._runs.get(command.run or "")
        if arrival.cancelled and run is not None and run.record.run.by.id == session.principal.id:
            self._runs.end_soon(run, "cancelled")


def _record(
    lane: Lane,
    transaction: Transaction,
    session: Session,
    command: Generate,
    run_id: str,
    placed: Placement,
    undo: RunUndo,
) -> RunRecord:
    going_on = placed.before if placed.mode == "continue" else None
    return RunRecord(
        run=Run(
            id=run_id,
            thread=lane.id,
            message=placed.message.id,
            mode=placed.mode,
            state="queued",
            by=session.principal,
        ),
        owner=lane.thread.owner,
        request=msgspec.json.encode(command),
        digest=digest_of(command),
        answer=b"",
        undo=msgspec.json.encode(undo),
        base=going_on.message.content if going_on else "",
        base_tokens=going_on.tokens if going_on else None,
        accepted_at=transaction.thread.updated_at,
    )
