"""The use cases of tasks as the wire has them, and who is told of a task.

It must never know how a task is carried out.
"""

from __future__ import annotations

import asyncio
import logging

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.model import FRAME_BYTES
from livethread.tasks import TaskCancelOk, TaskOk
from livethread_server.acceptance import Answer
from livethread_server.background import begin
from livethread_server.session import Session
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.tasks import Tasks
from livethread_server.tasks.telling import told

WAITING_BYTES = 64 << 10
"""How much may wait for a session's socket until its tasks' text is put together."""
PAUSE = 0.05
"""Seconds until such a socket is looked at again."""

log = logging.getLogger(__name__)


class TaskCommands:
    """Carries out the commands about tasks."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self._telling: set[asyncio.Task[None]] = set()

    async def create(self, session: Session, command: wire.TaskCreate, answer: Answer) -> None:
        live = await self.tasks.create(
            session.principal,
            command.kind,
            command.input,
            task=command.task,
            timeout_ms=command.timeout_ms,
            key=command.key,
        )
        answer(TaskOk(live.shown(result=_fits(live))))
        if command.stream and not session.ended:
            telling = begin(self._tell(session, live), log, "telling of a task failed")
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def get(self, session: Session, command: wire.TaskGet, answer: Answer) -> None:
        live = await self.tasks.get(session.principal, command.task)
        if command.wait_ms:
            await live.ended_within(command.wait_ms)
        if not _fits(live):
            raise _too_large(live)
        answer(TaskOk(live.shown()))

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

    async def _tell(self, session: Session, live: LiveTask) -> None:
        """Tell the session that made it, as long as that is there; the task goes on without it."""
        outbox = session.outbox
        async for event in told(live, result_bytes=FRAME_BYTES):
            while outbox.waiting_bytes > WAITING_BYTES:  # noqa: ASYNC110 - nobody says when a socket has room
                await asyncio.sleep(PAUSE)
            if session.ended or outbox.closed is not None:
                return
            outbox.offer(outbox.codec.encode(event))


def _fits(live: LiveTask) -> bool:
    return live.result_bytes <= FRAME_BYTES


def _too_large(live: LiveTask) -> CommandError:
    return CommandError(
        ErrorCode.TOO_LARGE,
        f"The result of task {live.id!r} has {live.result_bytes} bytes, more than the {FRAME_BYTES} of a frame. Get it "
        f"with GET /v1/tasks/{live.id}.",
        limit_bytes=FRAME_BYTES,
        bytes=live.result_bytes,
    )
