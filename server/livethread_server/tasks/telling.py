"""What somebody is told who watches one task: its text as it comes, and how it is a few times a second.

It must never know where events go.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator

from msgspec import UNSET

from livethread.messages import TaskDelta, TaskEvent, TaskUpdated
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.said import Said

UPDATE_SECONDS = 0.25
"""How long it takes at least from one update to the next, but for the last one."""
LOGPROBS_AT_ONCE = 64
"""Tokens with logprobs that one event holds at most, so that its frame stays well below the largest one."""


async def told(live: LiveTask, result_bytes: float = math.inf) -> AsyncGenerator[TaskEvent, None]:
    """A task as it is where it is not over, its text from the beginning on, how it changes, and how it ended: the last
    event, without a result of more than ``result_bytes``."""
    loop = asyncio.get_running_loop()
    listener, changes, at = live.listen(), -1, 0.0
    timer: asyncio.TimerHandle | None = None
    try:
        while not live.over:
            if changes != live.changes and loop.time() - at >= UPDATE_SECONDS:
                changes, at = live.changes, loop.time()
                yield TaskUpdated(task=live.shown(result=False))
            for said in listener.take():
                for delta in deltas(live.id, said):
                    yield delta
            if changes != live.changes and (timer is None or timer.when() <= loop.time()):
                timer = loop.call_at(at + UPDATE_SECONDS, listener.something.set)
            if not live.over:
                await listener.something.wait()
        for said in listener.take():
            for delta in deltas(live.id, said):
                yield delta
        yield TaskUpdated(task=live.shown(result=live.result_bytes <= result_bytes))
    finally:
        listener.leave()
        if timer is not None:
            timer.cancel()


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
