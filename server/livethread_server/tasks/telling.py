"""What somebody is told who watches one task: its text as it comes, and how it is a few times a second.

It must never know where events go.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator

from msgspec import UNSET

from livethread.messages import TaskDelta, TaskEvent, TaskUpdated
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.said import Said

UPDATE_SECONDS = 0.25
"""How long it takes at least from one update to the next, but for the last one."""
POSITION_SECONDS = 1.0
"""How often the place in the queue is looked at."""
LOGPROBS_AT_ONCE = 64
"""Tokens with logprobs that one event holds at most, so that its frame stays well below the largest one."""


async def told(live: LiveTask, result_bytes: float = math.inf) -> AsyncGenerator[TaskEvent, None]:
    """A task as it is where it is not over, its text from the beginning on, how it changes, and how it ended: the last
    event, without a result of more than ``result_bytes``."""
    listener = live.listen()
    updates = _Updates(live, listener.something.set)
    try:
        while not live.over:
            if updates.due():
                yield TaskUpdated(task=live.shown(result=False))
            for said in listener.take():
                for delta in deltas(live.id, said):
                    yield delta
            updates.look_again()
            if not live.over:
                await listener.something.wait()
        for said in listener.take():
            for delta in deltas(live.id, said):
                yield delta
        yield TaskUpdated(task=live.shown(result=live.result_bytes <= result_bytes))
    finally:
        updates.stop()
        listener.leave()


class _Updates:
    """When somebody is told how a task is: where that has changed, but not too often. ``wake`` is called when it is to
    be looked at again; nobody says when its place in the queue changes."""

    def __init__(self, live: LiveTask, wake: Callable[[], None]) -> None:
        self._live = live
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._at = -math.inf
        self._told = (-1, 0)
        self._timer: asyncio.TimerHandle | None = None

    def due(self) -> bool:
        """Whether it is time to tell; then it counts as told."""
        now, mark = self._loop.time(), self._mark()
        if mark == self._told or now - self._at < UPDATE_SECONDS:
            return False
        self._at, self._told = now, mark
        return True

    def look_again(self) -> None:
        """Have it looked at again as soon as there may be something to tell."""
        if self._mark() != self._told:
            self._ring_at(self._at + UPDATE_SECONDS)
        elif self._live.state == "queued":
            self._ring_at(self._loop.time() + POSITION_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring_at(self, moment: float) -> None:
        if self._timer is None or moment < self._timer.when():
            self.stop()
            self._timer = self._loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _mark(self) -> tuple[int, int]:
        return self._live.changes, self._live.position


def deltas(task: str, said: Said) -> Iterator[TaskDelta]:
    """What was said as events: one, unless there are many logprobs. The first has all the text."""
    most = LOGPROBS_AT_ONCE if said.logprobs else max(1, said.to - said.start)
    for start in range(said.start, max(said.to, said.start + 1), most):
        logprobs = said.logprobs[start - said.start : start - said.start + most]
        yield TaskDelta(
            task=task,
            choice=said.choice,
            start=start,
            to=min(start + most, said.to),
            text=said.text if start == said.start else "",
            logprobs=logprobs or UNSET,
        )
