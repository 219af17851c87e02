"""The commands about whole threads: create, get, list, update, delete, fork.

A use case answers by calling ``answer`` once, after its change is stored and before the change is told. It must
never know who listens to a thread, or what its runs say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Empty
from livethread.model import Sampling, Thread
from livethread_server.acceptance import Answer
from livethread_server.contexts import Contexts
from livethread_server.lanes import Lanes, unsettled
from livethread_server.listening import Listening
from livethread_server.new_threads import drafted, forked, new_thread, turns_to_fork, with_system_prompt
from livethread_server.prompter import Prompter
from livethread_server.runs import Runs
from livethread_server.session import Session
from livethread_server.store.base import BadCursor, Store, Taken, Turn, Unsettled
from livethread_server.threads import Residencies, excerpt, fitting, run_snapshot, snapshot
from livethread_server.transaction import given
from livethread_server.watching import Watching


class ThreadCommands:
    """Carries out commands about whole threads."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: Lanes,
        runs: Runs,
        prompter: Prompter,
        contexts: Contexts,
        residencies: Residencies,
        listening: Listening,
        watching: Watching,
        most: int,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._runs = runs
        self._prompter = prompter
        self._contexts = contexts
        self._residencies = residencies
        self._listening = listening
        self._watching = watching
        self._most = most

    async def create(self, session: Session, command: wire.ThreadCreate, answer: Answer) -> None:
        """Make a thread, or get the one that is there where that is asked for."""
        self._prompter.check_model(command.model or self._prompter.model)
        if command.sampling is not None:
            self._prompter.check(command.sampling)
        thread = new_thread(session.principal, command, self._prompter.model)
        turns = drafted(with_system_prompt(command.messages, self._prompter.system_prompt), session.principal)
        try:
            await self._keep(thread, turns)
        except Taken:
            if command.if_exists == "error":
                raise _taken(thread.id, "thread") from None
            async with self._lanes.hold(thread.id, session.principal) as lane:
                thread, turns = lane.thread, lane.turns
        shown, _ = snapshot(self._residencies.shown(thread), turns)
        answer(wire.ThreadOk(shown))

    async def get(self, session: Session, command: wire.ThreadGet, answer: Answer) -> None:
        """Show a thread with its newest messages, or with older ones."""
        async with self._lanes.hold(command.thread, session.principal) as lane:
            thread, more = excerpt(self._residencies.shown(lane.thread), lane.turns, command.before, command.limit)
            answer(wire.ThreadGetOk(thread, more, run_snapshot(lane)))

    async def list(self, session: Session, command: wire.ThreadList, answer: Answer) -> None:
        """Show summaries, the newest change first."""
        try:
            page = await self._store.list(session.principal.id, command.limit, command.cursor)
            if (room := fitting(page.threads)) < len(page.threads):
                page = await self._store.list(session.principal.id, room, command.cursor)
        except BadCursor:
            raise CommandError(
                ErrorCode.BAD_REQUEST,
                "Field 'cursor' is not one that thread.list gave out. Send back its cursor, or none to begin.",
                field="cursor",
            ) from None
        answer(wire.ThreadListOk(tuple(map(self._residencies.shown, page.threads)), page.cursor))

    async def update(self, session: Session, command: wire.ThreadUpdate, answer: Answer) -> None:
        """Change settings."""
        fields = self._changed_fields(command)
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            transaction = lane.begin()
            transaction.expect(command.expect_version)
            if fields:
                transaction.update(fields, session.principal)
                await self._lanes.commit(lane, transaction)
            answer(wire.VersionOk(transaction.thread.version))
            self._runs.publish(transaction)
            if "pinned" in fields:
                self._contexts.pin(lane.id, fields["pinned"])

    async def delete(self, session: Session, command: wire.ThreadDelete, answer: Answer) -> None:
        """End a thread's runs, remove it, and end its subscriptions."""
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            readers = await self._watching.readers(lane.thread)
            ending = tuple(lane.runs)
            transaction = lane.begin()
            with self._runs.held(ending):
                self._runs.interrupt_in(transaction, ending, roll_back=False)
                transaction.tell(wire.ThreadDeleted, by=session.principal)
                await self._lanes.delete(lane)
                self._runs.ended(lane, ending)
            answer(Empty())
            self._runs.publish(transaction)
            self._listening.drop(lane.id, readers)
            self._contexts.forget(lane.id)

    async def fork(self, session: Session, command: wire.ThreadFork, answer: Answer) -> None:
        """Make a thread with the beginning of another."""
        async with self._lanes.hold(command.thread, session.principal) as lane:
            turns = turns_to_fork(lane, command.at)
            thread = forked(lane.thread, turns, session.principal, command)
            try:
                await self._keep(thread, turns)
            except Taken:
                raise _taken(thread.id, "new_thread") from None
            shown, _ = snapshot(self._residencies.shown(thread), turns)
            answer(wire.ThreadOk(shown))

    async def _keep(self, thread: Thread, turns: Sequence[Turn]) -> None:
        """Store a new thread. `Taken` where its id is in use, `CommandError` where its owner has too many already."""
        if await self._store.count(thread.owner) >= self._most:
            if await self._store.known((thread.id,)):
                raise Taken(f"There is a thread {thread.id!r} already.")
            raise CommandError(
                ErrorCode.RATE_LIMITED,
                f"You have {self._most} threads, as many as you may. Delete one first.",
                threads=self._most,
            )
        try:
            await self._store.create(thread, turns)
        except Unsettled:
            raise unsettled(thread.id) from None
        self._contexts.created(thread)
        self._watching.created(thread.id)

    def _changed_fields(self, command: wire.ThreadUpdate) -> dict[str, Any]:
        """What an update changes, with what null stands for filled in."""
        fields = given(
            title=command.title,
            model=self._prompter.model if command.model is None else command.model,
            sampling=Sampling() if command.sampling is None else command.sampling,
            metadata={} if command.metadata is None else command.metadata,
            overflow="error" if command.overflow is None else command.overflow,
            pinned=False if command.pinned is None else command.pinned,
        )
        if "model" in fields:
            self._prompter.check_model(fields["model"])
        if "sampling" in fields:
            self._prompter.check(fields["sampling"])
        return fields


def _taken(thread: str, field: str) -> CommandError:
    return CommandError(
        ErrorCode.EXISTS,
        f"The id {thread!r} is taken by another thread. Choose another, or leave it out to get a new one.",
        field=field,
        thread=thread,
    )
