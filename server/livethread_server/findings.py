"""Threads whose context the engine found by itself, on disk or in memory, when it started.

What belongs to no thread any more is forgotten (its thread was deleted while no engine could hear of it), and what is
pinned is said to be. This module must never know how contexts are kept.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from livethread_server.background import begin
from livethread_server.engine.wire import Moved
from livethread_server.lanes import Lanes
from livethread_server.store.base import Store
from livethread_server.threads import Residencies

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds in which findings are gathered, since they come in crowds."""
BATCH = 500
"""How many threads the store is asked about at once."""


class FoundEngine(Protocol):
    """What findings need of an engine."""

    def forget(self, thread: str) -> None:
        """The thread is gone: its context may go."""

    def pin(self, thread: str, pinned: bool) -> None:
        """Keep a thread's context at hand while anything else can go; or no longer."""


class Findings:
    """Hears where contexts are, and looks up the threads that nobody here has in use."""

    def __init__(self, store: Store, lanes: Lanes, engine: FoundEngine, residencies: Residencies) -> None:
        self._store = store
        self._lanes = lanes
        self._engine = engine
        self._residencies = residencies
        self._found: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether anything is being looked up."""
        return self._task is not None and not self._task.done()

    def moved(self, moved: Moved) -> None:
        """The engine says where a context is."""
        new = self._residencies.of(moved.thread) == "cold" != moved.residency
        self._residencies.moved(moved)
        if not new or self._lanes.peek(moved.thread) is not None:
            return
        self._found.add(moved.thread)
        if self._task is None or self._task.done():
            self._task = begin(self._look_up(), log, "threads whose contexts were found could not be looked up")

    async def stop(self) -> None:
        """Look nothing up any more."""
        self._found.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_up(self) -> None:
        while self._found:
            await asyncio.sleep(PAUSE)
            batch = [self._found.pop() for _ in range(min(BATCH, len(self._found)))]
            try:
                pinned = {thread.id: thread.pinned for thread in await self._store.known(batch)}
            except BaseException:
                self._found.update(batch)  # what is found next has them looked up
                raise
            for thread in batch:
                if thread not in pinned:
                    self._engine.forget(thread)
                elif pinned[thread]:
                    self._engine.pin(thread, True)
