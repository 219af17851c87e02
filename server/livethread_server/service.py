"""The use cases: what each command of the wire does, over store, hub and engine.

A use case answers by calling ``answer`` once, after its change is stored and before the change is told, or
raises `CommandError` and has changed nothing. The service must never know frames, sockets or HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Command, Generate, Hello, HelloOk, Limits, MutateOk
from livethread.model import Principal
from livethread.tasks import TaskCancelOk
from livethread_server.acceptance import Acceptance, Answer
from livethread_server.auth.gate import Gate
from livethread_server.contexts import Contexts
from livethread_server.idempotency import answer_record, recall
from livethread_server.lanes import Lane, Lanes
from livethread_server.listening import Listening
from livethread_server.live_run import LiveRun
from livethread_server.lookups import Lookups, unknown_run
from livethread_server.mutation import mutate
from livethread_server.placement import busy, touches
from livethread_server.prompter import Prompter
from livethread_server.roles import forbidden, suffices
from livethread_server.runs import Runs
from livethread_server.session import Session
from livethread_server.sharing import Sharing
from livethread_server.stamps import now
from livethread_server.store.base import Store
from livethread_server.task_commands import TaskCommands
from livethread_server.thread_commands import ThreadCommands
from livethread_server.threads import Residencies

RUNS_SHOWN = 100
"""How many runs ``runs`` answers at most."""

Handler = Callable[[Session, Any, Answer], Awaitable[None]]


class Service:
    """Carries out commands. One for the whole server."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: Lanes,
        runs: Runs,
        acceptance: Acceptance,
        prompter: Prompter,
        contexts: Contexts,
        residencies: Residencies,
        gate: Gate,
        sharing: Sharing,
        identity: tuple[str, str],
        limits: Limits,
        threads: ThreadCommands,
        listening: Listening,
        tasks: TaskCommands,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._runs = runs
        self._acceptance = acceptance
        self._prompter = prompter
        self._contexts = contexts
        self._residencies = residencies
        self.gate = gate
        self._identity = identity
        self._limits = limits
        self._listening = listening
        self._task_commands = tasks
        self.tasks = tasks.tasks
        self.lookups = Lookups(store, lanes, runs)
        self._handlers: dict[type[Command], Handler] = {
            wire.ThreadCreate: threads.create,
            wire.ThreadGet: threads.get,
            wire.ThreadList: threads.list,
            wire.ThreadUpdate: threads.update,
            wire.ThreadDelete: threads.delete,
            wire.ThreadShare: sharing.share,
            wire.ThreadFork: threads.fork,
            wire.Subscribe: listening.subscribe,
            wire.Unsubscribe: listening.unsubscribe,
            wire.Watch: listening.watch,
            wire.Presence: listening.presence,
            wire.Mutate: self._mutate,
            wire.Generate: self._acceptance.generate,
            wire.ReadDraft: contexts.draft,
            wire.Warm: contexts.warm,
            wire.Evict: contexts.evict,
            wire.Cancel: self._cancel,
            wire.Runs: self._list_runs,
            wire.TaskCreate: tasks.create,
            wire.TaskGet: tasks.get,
            wire.TaskList: tasks.list,
            wire.TaskCancel: tasks.cancel,
        }

    @property
    def trouble(self) -> CommandError | None:
        """Why a generation would not work now; None when it would."""
        return self._runs.trouble

    async def stats(self) -> dict[str, Any]:
        """What is where, and what it was good for. `CommandError` where the engine cannot be asked."""
        return await self._contexts.stats()

    async def hello(self, session: Session, command: Hello) -> HelloOk:
        """Who we are, who the session is, and what is bounded. `CommandError` ``unauthorized`` where the token that it
        brings is worth nothing; one that was let in at the door need not."""
        if session.admission is None:
            await self.gate.admit(session, command.token)
        server, version = self._identity
        return HelloOk(
            server=server,
            version=version,
            session=session.id,
            principal=session.principal,
            models=(self._prompter.model,),
            limits=self._limits,
        )

    def announce(self, session: Session, command: Command) -> None:
        """To be called the moment a command comes in, before anything is awaited."""
        if isinstance(command, Generate):
            self._acceptance.announce(session, command)

    async def carry_out(self, session: Session, command: Command, answer: Answer) -> None:
        """Do what an announced command asks for; `CommandError` where that cannot be."""
        self.gate.enter(session)
        handler = self._handlers.get(type(command))
        if handler is None:
            kind = command.__struct_config__.tag
            raise CommandError(ErrorCode.UNSUPPORTED, f"This server does not carry out {kind!r}. Do without it.")
        await handler(session, command, answer)

    def leave(self, session: Session) -> None:
        """The session ended: nothing more goes to it, and its runs may end with it."""
        session.ended = True
        self.gate.leave(session)
        self._listening.leave(session)
        self._task_commands.leave(session)
        self._runs.session_ended(session.id)

    # Changing

    async def _mutate(self, session: Session, command: wire.Mutate, answer: Answer) -> None:
        async with self._lanes.hold(command.thread, session.principal, "participant") as lane:
            known = await recall(self._store, session, command)
            if known is not None:
                answer(known)
                return
            transaction = lane.begin()
            transaction.expect(command.expect_version)
            ending = _in_the_way(lane, command, session.principal)
            with self._runs.held(ending):
                self._runs.interrupt_in(transaction, ending, roll_back=command.if_busy == "rollback")
                before = transaction.turns
                done = mutate(before, command.ops, session.principal, now())
                transaction.mutate(done, session.principal)
                reuse = self._residencies.reuse(lane, before, done.turns)
                ok = MutateOk(transaction.thread.version, done.made, reuse)
                transaction.answer = answer_record(session, command, msgspec.json.encode(ok))
                await self._lanes.commit(lane, transaction)
                self._runs.ended(lane, ending)
            answer(ok)
            self._runs.publish(transaction)
            self._contexts.changed(lane)

    # Runs

    async def _cancel(self, session: Session, command: wire.Cancel, answer: Answer) -> None:
        found = self.cancel(session, command)
        if found is None:
            record = await self._store.run(command.run)
            thread = "" if record is None else record.run.thread
            # Asked for an unknown run too, so that one that may not be seen is answered as fast.
            role = await self._lanes.role(thread, session.principal)
            if record is None or role is None:
                raise unknown_run(command.run)
            if not suffices(role, "participant"):
                raise forbidden(thread, role, "participant")
            found = self._end(command.run) or wire.CancelOk(command.run, "finished")
        answer(found)

    def cancel(self, session: Session, command: wire.Cancel) -> wire.CancelOk | None:
        """End a run soon, without waiting for anything; None where only the store knows of it, or who may do so."""
        run = self._runs.get(command.run)
        if run is None:
            return self._acceptance.cancel(session, command.run)
        lane = self._lanes.peek(run.record.run.thread)
        may = lane is not None and suffices(lane.role(session.principal.id), "participant")
        return self._end(command.run) if may else None

    def cancel_task(self, session: Session, command: wire.TaskCancel) -> TaskCancelOk | None:
        """End a task without waiting for anything; None where there is none, or none yet."""
        return self._task_commands.cancel_now(session, command)

    def _end(self, run: str) -> wire.CancelOk | None:
        """End a run soon; None where it has ended."""
        live = self._runs.get(run)
        if live is None:
            return None
        self._runs.end_soon(live, "cancelled")
        return wire.CancelOk(live.id, live.state)

    async def _list_runs(self, session: Session, command: wire.Runs, answer: Answer) -> None:
        if command.thread is not None:
            async with self._lanes.hold(command.thread, session.principal):
                pass
        records = await self._store.runs(session.principal.id, command.thread, RUNS_SHOWN)
        answer(wire.RunsOk(tuple(self._runs.shown(record) for record in records)))


def _in_the_way(lane: Lane, command: wire.Mutate, by: Principal) -> Sequence[LiveRun]:
    """The runs that a mutation ends; `CommandError` ``busy`` where it may not."""
    if not lane.runs:
        return ()
    after = mutate(lane.turns, command.ops, by, now()).turns
    if not touches(lane.turns, after, lane.unfinished()):
        return ()
    if command.if_busy == "reject":
        raise busy([run.id for run in lane.runs])
    return tuple(lane.runs)
