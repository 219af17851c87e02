"""The text of one run, as it comes.

A `RunStream` asks for its run when it is first iterated, and cancels it when the iteration stops early. It goes on
over cuts of the connection. This module must never know sockets or frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from livethread.errors import LivethreadError, RunFailed, TextReplaced
from livethread.messages import Cancel, CancelOk, Event, Generate, GenerateOk, RunDelta, RunFinished, RunRecovered
from livethread.missed import ThreadReplaced, written_by
from livethread.model import Message, Reason, Timings, TokenLogprob, Usage
from livethread.told import Piece, Told

if TYPE_CHECKING:
    from livethread.client_thread import ClientThread


class RunStream:
    """Iterate over it once for the pieces of text; or await `text` for all of it; or iterate over `pieces`.

    Iterating raises `CommandError` where the run is refused, `RunFailed` where it ends with an error,
    `ConnectionClosed` where the client does not come back, `TextReplaced` where the server came back with other
    text than was given. A run that somebody cancels just ends: see `reason`.
    """

    def __init__(self, thread: ClientThread, run: str, request: Generate) -> None:
        self.run = run
        self.accepted: GenerateOk | None = None
        self.finished: RunFinished | None = None
        self._thread = thread
        self._request = request
        self._asked: asyncio.Task[GenerateOk] | None = None
        self._abandoned = False
        self._told = Told(run)
        self._logprobs: dict[int, TokenLogprob] = {}
        self._before = ""

    @property
    def asked(self) -> bool:
        """Whether the run was asked for: the iteration has begun."""
        return self._asked is not None

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

    @property
    def logprobs(self) -> dict[int, TokenLogprob]:
        """How likely the tokens so far were, by their positions in the run, where its sampling asks for that. Tokens
        whose text came back as a whole, after a cut of the connection, are not in it."""
        return dict(self._logprobs)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The pieces of text as they come."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if piece.anew:
                    raise TextReplaced(self.run, piece.text)
                yield piece.text

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The pieces of text, of which one may stand for all before it, for readers who can take those back."""
        async with aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def text(self) -> str:
        """Everything the run generates, once it is over."""
        async with aclosing(self._pieces()) as pieces:
            async for _ in pieces:
                pass
        return self._told.text

    async def cancel(self) -> CancelOk:
        """End the run; the iteration then ends by itself."""
        return await self._thread.cancel(self.run)

    def abandon(self) -> None:
        """Nobody reads on: see to it that the run is cancelled, unless it is over or was never asked for."""
        if self._asked is not None and self.finished is None and not self._abandoned:
            self._abandoned = True
            self._thread.client.spawn(self._stop(self._asked))

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        if self._asked is not None:
            raise RuntimeError("A run is streamed only once. Ask the thread for another reply.")
        await self._thread.attach()
        with self._thread.listening(self) as feed:
            try:
                await self._ask()
                async for event in feed:
                    if (piece := self._piece(event)).text or piece.anew:
                        yield piece
                    if self.finished is not None:
                        self._raise_failure(self.finished)
                        return
            finally:
                self.abandon()
        raise LivethreadError(f"Nothing more is told of run {self.run}: its thread was unsubscribed.")

    async def _ask(self) -> None:
        if self._request.mode == "continue" and self._thread.last is not None:
            self._before = self._thread.last.content
        self._asked = self._thread.client.spawn(self._thread.client.call(self._request, GenerateOk))
        try:
            self.accepted = await asyncio.shield(self._asked)
        except LivethreadError:
            self._abandoned = True  # there is no run to cancel
            raise

    def _piece(self, event: Event) -> Piece:
        match event:
            case RunDelta():
                self._logprobs |= _placed(event)
                return self._told.delta(event.start, event.to, event.text)
            case RunRecovered():
                return self._whole(event.to, event.text)
            case ThreadReplaced():
                return self._look_for(event)
            case RunFinished():
                self.finished = event
                return self._ended(event.message)
        return Piece("")

    def _whole(self, to: int, text: str) -> Piece:
        """All text up to ``to``. What was told behind that is drawn again, and all was where the text is another."""
        piece = self._told.whole(to, text)
        self._logprobs = {at: one for at, one in self._logprobs.items() if at < to and not piece.anew}
        return piece

    def _look_for(self, event: ThreadReplaced) -> Piece:
        """Find the run in a copy that replaced the one before. `LivethreadError` where it is not there any more."""
        now = event.streaming
        if now is not None and now.run == self.run:
            return self._whole(now.to, now.text)
        if self.accepted is None or self.accepted.version > event.value.version:
            return Piece("")  # it was accepted after that
        message = written_by(event.value, self.run)
        if message is None:
            raise LivethreadError(f"What became of run {self.run} is not known: its message is not in the thread now.")
        if message.state in ("queued", "streaming") or not (message.reason and message.usage and message.timings):
            return Piece("")  # it waits for its turn
        return self._end(event, message, message.reason, message.usage, message.timings)

    def _end(self, event: ThreadReplaced, message: Message, reason: Reason, usage: Usage, timings: Timings) -> Piece:
        self.finished = RunFinished(
            thread=event.thread,
            seq=event.value.seq,
            version=event.value.version,
            run=self.run,
            reason=reason,
            message=message,
            usage=usage,
            timings=timings,
            error=UNSET,
        )
        if not self._told.text and message.content.startswith(self._before):
            return self._told.whole(usage.completion_tokens, message.content[len(self._before) :])
        return self._ended(message)

    def _ended(self, message: Message) -> Piece:
        """The run is over; where no text came the message may be another run's, put back."""
        return self._told.ended(message.content, self._before) if message.run == self.run else Piece("")

    def _raise_failure(self, finished: RunFinished) -> None:
        if finished.reason == "error":
            error = finished.error
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


def _placed(delta: RunDelta) -> dict[int, TokenLogprob]:
    """The logprobs of a delta by the positions of their tokens."""
    return dict(enumerate(delta.logprobs, delta.start)) if delta.logprobs else {}
