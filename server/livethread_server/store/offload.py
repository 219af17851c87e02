"""Work that blocks, on OS threads of its own.

One trip to an OS thread and back for a whole transaction: drivers that make a trip for each statement cost
several times as much. This module must never know what the work is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Offload:
    """A queue of work, done in order by ``width`` OS threads."""

    def __init__(self, name: str, width: int) -> None:
        self._executor = ThreadPoolExecutor(width, thread_name_prefix=name)

    async def do(self, work: Callable[[], T]) -> T:
        """What the work returns or raises.

        Cancelled while the work waits for its turn: it is never done. Cancelled while it is being done: it
        goes on to its end, and the cancellation arrives after that.
        """
        future = self._executor.submit(work)
        outcome = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not future.cancel():
                await asyncio.wait([outcome])
            raise

    def close(self) -> None:
        """Let the queued work end, then the OS threads."""
        self._executor.shutdown(wait=True)
