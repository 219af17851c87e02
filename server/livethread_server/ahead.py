"""Reading ahead: what a mutation made new, or what somebody types, is given to the engine before anybody asks.

It is a wish, never a promise: one thread has one wish at most, a newer one takes its place, one prompt is
rendered at a time, and no lane is ever held. This module must never know runs' outputs, sockets or stores.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Protocol

from msgspec import Struct

from livethread.errors import CommandError
from livethread.model import Thread
from livethread_server.background import begin
from livethread_server.lanes import Lanes
from livethread_server.prompter import Ahead, Prompter
from livethread_server.store.base import Turn

log = logging.getLogger(__name__)

PAUSE = 0.05
"""Seconds that a thread must have been left alone, so that a burst of changes is rendered once."""
WISHES = 1024
"""How many threads may wait; beyond, the oldest wish is dropped."""


class AheadEngine(Protocol):
    """What reading ahead needs of an engine."""

    @property
    def trouble(self) -> CommandError | None:
        """Why nothing can be read now; None when it can."""

    def ingest(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> None:
        """Make the KV of these tokens ready while there is nothing else to do."""


class _Wish(Struct, frozen=True, eq=False):
    thread: Thread
    turns: tuple[Turn, ...]
    draft: str | None
    due: float


class ReadAhead:
    """All wishes there are. Its methods belong to one event loop."""

    def __init__(self, lanes: Lanes, engine: AheadEngine, prompter: Prompter) -> None:
        self._lanes = lanes
        self._engine = engine
        self._prompter = prompter
        self._wishes: OrderedDict[str, _Wish] = OrderedDict()
        self._reading: _Wish | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def wishes(self) -> int:
        """How many there are, the one that is being rendered included."""
        return len(self._wishes) + (self._reading is not None)

    def want(self, thread: Thread, turns: tuple[Turn, ...], draft: str | None = None) -> None:
        """Have these turns read soon, with a ``draft`` of the next user's message behind them."""
        if self._engine.trouble is not None:
            return
        self.drop(thread.id)
        self._put(thread, turns, draft)
        if len(self._wishes) > WISHES:
            self._wishes.popitem(last=False)
        if self._task is None or self._task.done():
            self._task = begin(self._work(), log, "reading ahead failed")

    def drop(self, thread: str) -> None:
        """Nothing is to be read for this thread now, not even what is being rendered."""
        self._wishes.pop(thread, None)
        if self._reading is not None and self._reading.thread.id == thread:
            self._reading = None

    async def stop(self) -> None:
        """Forget all wishes."""
        self._wishes.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _put(self, thread: Thread, turns: tuple[Turn, ...], draft: str | None) -> None:
        # Wishes are put at the end and are due in the order they came.
        due = asyncio.get_running_loop().time() + PAUSE
        self._wishes[thread.id] = _Wish(thread, turns, draft, due)

    async def _work(self) -> None:
        while self._wishes:
            first = next(iter(self._wishes.values()))
            pause = first.due - asyncio.get_running_loop().time()
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                await self._read(self._wishes.pop(first.thread.id))

    async def _read(self, wish: _Wish) -> None:
        self._reading = wish
        try:
            ahead = await self._prompter.ahead(wish.thread, wish.turns, wish.draft)
            if self._reading is wish and ahead.tokens:
                self._give(wish, ahead)
        except CommandError:
            return  # what cannot be a prompt yet may become one
        finally:
            self._reading = None

    def _give(self, wish: _Wish, ahead: Ahead) -> None:
        lane = self._lanes.peek(wish.thread.id)
        if lane is not None and (not lane.loaded or lane.runs or lane.turns is not wish.turns):
            return  # the thread has changed, or its run is at it already
        if lane is not None and lane.lock.locked():
            # Somebody is at the thread, perhaps with a run of his own: see what comes of it.
            self._put(wish.thread, wish.turns, wish.draft)
            return
        self._engine.ingest(wish.thread.id, wish.thread.owner, ahead.tokens, shared=ahead.shared)
