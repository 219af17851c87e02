"""What the engine process was asked and has not answered yet.

This module must never know what the questions are about.
"""

from __future__ import annotations

import asyncio
import itertools

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.wire import Settled, Stats


class Questions:
    """Open questions by number. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[Settled | Stats]] = {}

    @property
    def pending(self) -> bool:
        """Whether any is open."""
        return bool(self._open)

    def number(self) -> int:
        """A number for the next question."""
        return next(self._numbers)

    async def answer(self, ask: int) -> Settled | Stats:
        """Wait for the answer. Raises `CommandError` ``model_unavailable`` where none will come."""
        self._open[ask] = asyncio.get_running_loop().create_future()
        try:
            return await self._open[ask]
        finally:
            self._open.pop(ask, None)

    def settle(self, answer: Settled | Stats) -> None:
        """An answer has come; one that nobody waits for any more is dropped."""
        waiting = self._open.get(answer.ask)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def close(self) -> None:
        """The process is gone: none of them will be answered."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(_gone())


def _gone() -> CommandError:
    return CommandError(ErrorCode.MODEL_UNAVAILABLE, "The engine ended before it answered. Try again when it is back.")
