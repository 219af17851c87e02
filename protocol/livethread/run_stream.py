"""The text of one run, as it comes.

A `RunStream` asks for its run when it is first iterated, and cancels it when the iteration stops early.
This module must never know sockets or frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec import UnsetType

from livethread.errors import LivethreadError, ProtocolError, RunFailed
from livethread.messages import Cancel, CancelOk, Generate, GenerateOk, RunDelta, RunFinished
from livethread.model import Message, Reason, Timings, Usage

if TYPE_CHECKING:
    from livethread.client_thread import ClientThread


class RunStream:
    """Iterate over it once for the pieces of text; or await `text` for all of it.

    Iterating raises `CommandError` where the run is refused, `RunFailed` where it ends with an error,
    `ConnectionClosed` where the connection ends first. A run that somebody cancels just ends: see `reason`.
    """

    def __init__(self, thread: ClientThread, run: str, request: Generate) -> None:
        self.run = run
        self.accepted: GenerateOk | None = None
        self.finished: RunFinished | None = None
        self._thread = thread
        self._request = request
        self._asked: asyncio.Task[GenerateOk] | None = None
        self._abandoned = False
        self._told = 0

    @property
    def message(self) -> Message | None:
        """The whole message that the run wrote, once it is over."""
        return self.finished.message if self.finished else None

    @property
    def reason(self) -> Reason | None:
        """Why the run is over, once it is."""
        return self.finished.reason if self.finished else None

    @property
    def usage(self) -> Usage | None:
        """The run's tokens, once it is over."""
        return self.finished.usage if self.finished else None

    @property
    def timings(self) -> Timings | None:
        """The run's milliseconds, once it is over."""
        return self.finished.timings if self.finished else None

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces()

    async def text(self) -> str:
        """Everything the run generates, once it is over."""
        return "".join([piece async for piece in self])

    async def cancel(self) -> CancelOk:
        """End the run; the iteration then ends by itself."""
        return await self._thread.cancel(self.run)

    def abandon(self) -> None:
        """Nobody reads on: see to it that the run is cancelled, unless it is over or was never asked for."""
        if self._asked is not None and self.finished is None and not self._abandoned:
            self._abandoned = True
            self._thread.client.spawn(self._stop(self._asked))

    async def _pieces(self) -> AsyncIterator[str]:
        if self._asked is not None:
            raise RuntimeError("A run is streamed only once. Ask the thread for another reply.")
        await self._thread.attach()
        with self._thread.listening(self) as feed:
            try:
                await self._ask()
                async for event in feed:
                    if isinstance(event, RunFinished):
                        self._finish(event)
                        return
                    if isinstance(event, RunDelta):
                        yield self._piece(event)
            finally:
                self.abandon()
        raise LivethreadError(f"Nothing more is told of run {self.run}: its thread was unsubscribed.")

    async def _ask(self) -> None:
        self._asked = self._thread.client.spawn(self._thread.client.call(self._request, GenerateOk))
        try:
            self.accepted = await asyncio.shield(self._asked)
        except LivethreadError:
            self._abandoned = True  # there is no run to cancel
            raise

    def _piece(self, event: RunDelta) -> str:
        if event.start != self._told:
            raise ProtocolError(f"Run {self.run} went on at token {event.start} instead of {self._told}.")
        self._told = event.to
        return event.text

    def _finish(self, event: RunFinished) -> None:
        self.finished = event
        if event.reason == "error":
            error = event.error
            if isinstance(error, UnsetType):
                raise RunFailed(self.run, "internal", "The server did not say why.")
            raise RunFailed(self.run, error.code, error.message)

    async def _stop(self, asked: asyncio.Task[GenerateOk]) -> None:
        """Cancel the run once the server has accepted it: a cancel that comes earlier might find nothing."""
        try:
            await asked
            await self._thread.client.call(Cancel(id=0, run=self.run), CancelOk)
        except LivethreadError:
            return  # it was refused, or the connection is gone: nothing to cancel, or nobody to tell
