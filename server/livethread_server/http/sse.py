"""Server-sent events (WHATWG HTML, 9.2): how one is written, and an answer that is a stream of them.

It must never know what is told, or to whom.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from livethread.errors import CommandError
from livethread_server.http.connection import Connection, gone
from livethread_server.http.problem import Problem, internal

log = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"
BEAT = b":\n\n"
"""A comment: nothing to say, but still there."""
BEAT_SECONDS = 15.0
RETRY_MS = 1000
"""How long a browser waits until it comes back."""

Parts = AsyncGenerator[bytes, None]


def event(data: str | bytes, name: str = "", position: str = "") -> bytes:
    """One event: ``data`` is a line of JSON, ``name`` its type, ``position`` what a client brings back as
    ``Last-Event-ID``. What is empty is left out."""
    line = data.encode() if isinstance(data, str) else data
    head = (f"event: {name}\n" if name else "") + (f"id: {position}\n" if position else "")
    return b"%bdata: %b\n\n" % (head.encode(), line)


def retry(milliseconds: int) -> bytes:
    """How long to wait before connecting again, which browsers heed."""
    return b"retry: %d\n\n" % milliseconds


def error_event(error: CommandError) -> bytes:
    """What went wrong behind a status of 200: a problem document."""
    return event(msgspec.json.encode(Problem.of(error)), "error")


async def _nobody() -> CommandError:
    """Nobody is ever shut out."""
    never: asyncio.Future[CommandError] = asyncio.get_running_loop().create_future()
    return await never


class EventStream(Response):
    """An answer whose body is ``parts``, encoded events, as they come. They are closed when the client goes.

    After ``beat`` seconds of silence a comment is sent. A `CommandError` that the parts raise is told as ``on_error``
    writes it, and ends the stream, as anything else does that they raise, and what ``shut_out`` returns.
    """

    media_type = EVENT_STREAM

    def __init__(
        self,
        parts: Parts,
        connection: Connection,
        headers: Mapping[str, str] | None = None,
        *,
        beat: float = BEAT_SECONDS,
        on_error: Callable[[CommandError], bytes] = error_event,
        opening: bytes = retry(RETRY_MS),
        shut_out: Callable[[], Coroutine[Any, Any, CommandError]] = _nobody,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._parts = parts
        self._connection = connection
        self._beat = beat
        self._on_error = on_error
        self._opening = opening
        self._shut_out = shut_out
        self._failed = False
        self._last = 0.0
        # A proxy that gathers what it passes on would make a stream into an answer that comes late.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the parts end, the client goes or is shut out."""
        self._connection.lift()
        writing, ending = asyncio.create_task(self._write(send)), asyncio.create_task(self._shut_out())
        leaving, beating = asyncio.create_task(gone(receive)), asyncio.create_task(self._keep_alive(send))
        try:
            await asyncio.wait((writing, ending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, ending, leaving, beating):
                task.cancel()
            await asyncio.gather(writing, ending, leaving, beating, return_exceptions=True)
        if not self._last or (writing.cancelled() and ending.cancelled()):
            return
        if writing.cancelled():
            await self._fail(send, ending.result())
        else:
            writing.result()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._say(send, self._opening)
        async with aclosing(self._parts) as parts:
            try:
                async for part in parts:
                    await self._say(send, part)
            except CommandError as error:
                await self._fail(send, error)
            except Exception:
                log.exception("an event stream failed")
                await self._fail(send, internal())

    async def _fail(self, send: Send, error: CommandError) -> None:
        """Say what went wrong, once: the parts may find out for themselves that the client was shut out."""
        if not self._failed:
            self._failed = True
            await self._say(send, self._on_error(error))

    async def _keep_alive(self, send: Send) -> None:
        """Show from time to time that there is somebody; each message is written at once, so two writers do no harm."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._beat)
            if self._last and now() - self._last >= self._beat:
                await self._say(send, BEAT)

    async def _say(self, send: Send, data: bytes) -> None:
        self._last = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": data, "more_body": True})
