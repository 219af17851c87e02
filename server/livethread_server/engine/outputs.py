"""What one run has to say, for one reader that may be slow.

This module must never know where outputs come from.
"""

from __future__ import annotations

import asyncio
import time

from livethread.errors import ErrorCode
from livethread.model import Reason
from livethread_server.engine.wire import Finished, Output, merged


class RunOutputs:
    """The outputs of one run as an async iterator; it ends after the one with ``finished``.

    Outputs that wait for the reader are merged, so that what waits is one output, however slow the reader.
    ``position`` is its place in the engine's queue, 1 for the next one; 0 once the worker has it.
    ``told`` of its tokens were told before there was anybody to read this.
    """

    def __init__(self, run: str, told: int = 0) -> None:
        self.run = run
        self.position = 0
        self._waiting: Output | None = None
        self._filled = asyncio.Event()
        self._completion = told
        self._first_at: float | None = None
        self._finished = False
        self._read = False

    def __aiter__(self) -> RunOutputs:
        return self

    async def __anext__(self) -> Output:
        if self._read:
            raise StopAsyncIteration
        await self._filled.wait()
        assert self._waiting is not None
        output, self._waiting = self._waiting, None
        self._filled.clear()
        self._read = output.finished is not None
        return output

    def put(self, output: Output) -> None:
        """Add an output; nothing comes after the one with ``finished``."""
        if self._finished:
            return
        self._finished = output.finished is not None
        if output.delta:
            self._completion += len(output.delta.tokens)
            self._first_at = self._first_at or time.monotonic()
        self._waiting = merged(self._waiting, output) if self._waiting else output
        self._filled.set()

    def end(self, reason: Reason, error: str | None = None, code: ErrorCode | None = None) -> None:
        """Finish a run that the worker will say nothing more about; counts are of what was told."""
        finished = Finished(reason, self._completion, self._first_at, time.monotonic(), error, code)
        self.put(Output(self.run, finished=finished))
