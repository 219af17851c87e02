"""Events on their way from the connection to one reader of them.

The giver never waits: deltas that pile up are joined, and a reader that falls too far behind loses its
feed instead of slowing down others. This module must never know connections or what events mean.
"""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import UnsetType
from msgspec.structs import replace

from livethread.errors import FellBehind, LivethreadError
from livethread.messages import Event, RunDelta, RunProgress

WAITING = 1024
"""How many events may wait for a reader; joined deltas count as one."""


class Feed:
    """One reader's events, in order. Iterate over it; it ends when `end` was called and all is read."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._room = waiting
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: LivethreadError | None = None

    def offer(self, event: Event) -> None:
        """Add an event. Too many waiting ones end the feed with `FellBehind`; never blocks."""
        if self._ended:
            return
        joined = _join(self._events[-1], event) if self._events else None
        if joined is not None:
            self._events[-1] = joined
        elif len(self._events) < self._room:
            self._events.append(event)
        else:
            self._events.clear()
            self.end(FellBehind(f"{self._room} events were waiting for this reader. Take them faster."))
        self._changed.set()

    def end(self, error: LivethreadError | None = None) -> None:
        """Nothing comes any more; ``error`` is raised once everything before it is read."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._changed.set()

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise self._error or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()


def _joined(last: RunDelta, event: RunDelta) -> RunDelta | None:
    """One delta for two that touch, unless only one says how likely its tokens were."""
    if isinstance(last.logprobs, UnsetType) and isinstance(event.logprobs, UnsetType):
        return replace(last, to=event.to, text=last.text + event.text)
    if isinstance(last.logprobs, UnsetType) or isinstance(event.logprobs, UnsetType):
        return None
    logprobs = last.logprobs + event.logprobs
    return replace(last, to=event.to, text=last.text + event.text, logprobs=logprobs)


def _join(last: Event, event: Event) -> Event | None:
    """Two neighbouring events of a run as one that says the same, where there is one."""
    if isinstance(last, RunDelta) and isinstance(event, RunDelta):
        if last.run == event.run and last.to == event.start:
            return _joined(last, event)
    elif isinstance(last, RunProgress) and isinstance(event, RunProgress) and last.run == event.run:
        return event
    return None
