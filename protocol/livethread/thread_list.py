"""The list of all threads as a client keeps it: what the server listed, and what it tells of changes since.

This module must never know connections or clocks.
"""

from __future__ import annotations

import asyncio

from livethread.errors import LivethreadError
from livethread.messages import Event, ThreadChanged, ThreadCreated, ThreadGone
from livethread.model import Thread


class ThreadTable:
    """Threads without their messages, by their ids. ``stale``: it must be listed, for the first time or again."""

    def __init__(self) -> None:
        self.stale = True
        self._threads: dict[str, Thread] = {}
        self._gone: set[str] = set()
        self._changed = asyncio.Event()
        self._error: LivethreadError | None = None

    @property
    def threads(self) -> tuple[Thread, ...]:
        """Newest change first, as the server lists them."""
        return tuple(sorted(self._threads.values(), key=lambda one: (one.updated_at, one.id), reverse=True))

    def clear(self) -> None:
        """The server is being asked for all threads; what it tells from now on is newer than its answers."""
        self._threads, self._gone, self.stale = {}, set(), False
        self._changed.clear()

    def list(self, thread: Thread) -> None:
        """The server listed this thread."""
        if thread.id not in self._gone:
            self._threads.setdefault(thread.id, thread)

    def take(self, event: Event) -> None:
        """A thread is new, has changed or is gone."""
        if isinstance(event, ThreadCreated | ThreadChanged):
            self._threads[event.summary.id] = event.summary
            self._gone.discard(event.summary.id)
        elif isinstance(event, ThreadGone):
            self._threads.pop(event.thread, None)
            self._gone.add(event.thread)
        self._changed.set()

    def miss(self) -> None:
        """The client was away: what happened meanwhile is not known."""
        self.stale = True
        self._changed.set()

    def end(self, error: LivethreadError) -> None:
        """Nothing more is told."""
        self._error = error
        self._changed.set()

    async def change(self) -> None:
        """Come back when something has changed since this was last called. Raises what `end` was given."""
        await self._changed.wait()
        self._changed.clear()
        if self._error is not None:
            raise self._error
