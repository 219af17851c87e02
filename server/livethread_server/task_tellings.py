"""Which tasks each session is told of: every one of them once, and no longer than the session lasts.

It must never know how a task is carried out.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from functools import partial

import msgspec

from livethread.codec import Codec, Frame, bytes_of
from livethread.errors import CommandError, ErrorCode
from livethread.messages import TaskEvent, TaskUpdated
from livethread.model import FRAME_BYTES
from livethread_server.background import begin
from livethread_server.session import Session
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.telling import told

WAITING_BYTES = 64 << 10
"""How much may wait for a session's socket until what is told of its tasks is put together."""
PAUSE = 0.05
"""Seconds until such a socket is looked at again."""

log = logging.getLogger(__name__)


class Tellings:
    """At most ``most`` at once for each session."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[Session, dict[LiveTask, asyncio.Task[None]]] = {}

    def check(self, session: Session, task: str | None) -> None:
        """`CommandError` ``rate_limited`` where the session cannot be told of one more, nor is of ``task`` already."""
        mine = self._of.get(session, {})
        if len(mine) >= self._most and all(live.id != task for live in mine):
            raise _too_many(self._most)

    def begin(self, session: Session, live: LiveTask) -> None:
        """Tell the session of a task from its beginning on, unless that is under way, or the session has ended."""
        mine = self._of.get(session, {})
        if session.ended or live in mine:
            return
        telling = begin(_tell(session, live), log, "telling of a task failed")
        self._of.setdefault(session, mine)[live] = telling
        telling.add_done_callback(partial(self._ended, session, live))

    def leave(self, session: Session) -> None:
        """Tell it nothing more; the tasks go on."""
        for telling in self._of.get(session, {}).values():
            telling.cancel()

    def count(self, session: Session) -> int:
        """How many tasks it is told of now."""
        return len(self._of.get(session, {}))

    def _ended(self, session: Session, live: LiveTask, telling: asyncio.Task[None]) -> None:
        mine = self._of[session]
        del mine[live]
        if not mine:
            del self._of[session]


async def room(session: Session) -> bool:
    """Return True as soon as little waits for the session's socket; False where nothing more goes to it."""
    outbox = session.outbox
    while not session.ended and outbox.closed is None:
        if outbox.waiting_bytes <= WAITING_BYTES:
            return True
        await asyncio.sleep(PAUSE)  # nobody says when a socket has room
    return False


async def _tell(session: Session, live: LiveTask) -> None:
    outbox = session.outbox
    async with aclosing(told(live, result_bytes=FRAME_BYTES)) as events:
        async for event in events:
            if not await room(session):
                return
            outbox.offer(_frame(event, outbox.codec))


def _frame(event: TaskEvent, codec: Codec) -> Frame:
    """An event as a frame, without a result that makes it too large for one."""
    frame = codec.encode(event)
    if isinstance(event, TaskUpdated) and bytes_of(frame) > FRAME_BYTES:
        return codec.encode(TaskUpdated(task=msgspec.structs.replace(event.task, result=None)))
    return frame


def _too_many(most: int) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"This session is told of {most} tasks, as many as may be. Wait for the end of one, or leave out 'stream'.",
        limit=most,
    )
