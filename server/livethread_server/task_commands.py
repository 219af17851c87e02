"""The use cases of tasks as the wire has them.

It must never know how a task is carried out.
"""

from __future__ import annotations

from livethread import messages as wire
from livethread.codec import bytes_of
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Reply
from livethread.model import FRAME_BYTES
from livethread.tasks import TaskCancelOk, TaskOk
from livethread_server.acceptance import Answer
from livethread_server.session import Session
from livethread_server.task_tellings import Tellings, room
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.tasks import Tasks

SMALL_BYTES = 4096
"""A result that has no more as JSON is answered at once, as other commands are."""
SURE_BYTES = FRAME_BYTES // 4
"""A result that has no more as JSON fits into a frame of either encoding."""


class TaskCommands:
    """Carries out the commands about tasks."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.tellings = Tellings(tasks.bounds.tasks_per_principal)

    async def create(self, session: Session, command: wire.TaskCreate, answer: Answer) -> None:
        if command.stream:
            self.tellings.check(session, command.task)
        live = await self.tasks.create(
            session.principal,
            command.kind,
            command.input,
            task=command.task,
            timeout_ms=command.timeout_ms,
            key=command.key,
        )
        answer(await _whole(session, live) or TaskOk(live.shown(result=False)))
        if command.stream:
            self.tellings.begin(session, live)

    async def get(self, session: Session, command: wire.TaskGet, answer: Answer) -> None:
        live = await self.tasks.get(session.principal, command.task)
        if command.wait_ms:
            await live.ended_within(command.wait_ms)
        ok = await _whole(session, live)
        if ok is None:
            raise _too_large(live)
        answer(ok)

    async def list(self, session: Session, command: wire.TaskList, answer: Answer) -> None:
        answer(
            self.tasks.list(
                session.principal, kind=command.kind, state=command.state, limit=command.limit, cursor=command.cursor
            )
        )

    async def cancel(self, session: Session, command: wire.TaskCancel, answer: Answer) -> None:
        answer(self.tasks.cancel(session.principal, command.task))

    def cancel_now(self, session: Session, command: wire.TaskCancel) -> TaskCancelOk | None:
        """End a task without waiting for anything; None where there is none, or none yet."""
        try:
            return self.tasks.cancel(session.principal, command.task)
        except CommandError:
            return None

    def leave(self, session: Session) -> None:
        """The session has ended: nobody of it is told of tasks any more."""
        self.tellings.leave(session)


async def _whole(session: Session, live: LiveTask) -> TaskOk | None:
    """The task with its result, as soon as the session's socket has room for one; None where no frame holds it."""
    if live.result_bytes > FRAME_BYTES:
        return None
    if live.result_bytes > SMALL_BYTES:
        await room(session)
    ok = TaskOk(live.shown())
    if live.result_bytes <= SURE_BYTES:
        return ok
    frame = session.outbox.codec.encode(Reply(id=(1 << 63) - 1, ok=ok))  # whatever id the command had
    return ok if bytes_of(frame) <= FRAME_BYTES else None


def _too_large(live: LiveTask) -> CommandError:
    return CommandError(
        ErrorCode.TOO_LARGE,
        f"The result of task {live.id!r} has {live.result_bytes} bytes, and a frame holds {FRAME_BYTES} with all that "
        f"is around it. Get it with GET /v1/tasks/{live.id}.",
        limit_bytes=FRAME_BYTES,
        bytes=live.result_bytes,
    )
