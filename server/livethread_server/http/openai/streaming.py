"""Answers as server-sent events (WHATWG HTML, 9.2), in the way of OpenAI: only data, and ``[DONE]`` at the end.

It must never know what is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from livethread.errors import CommandError
from livethread_server.http.openai.errand import Errand, Heard
from livethread_server.http.openai.errors import TaskEnded, error_answer, error_bytes

DONE = b"data: [DONE]\n\n"
BEAT = b":\n\n"
"""A comment, which every reader skips."""


class Telling(Protocol):
    """Makes JSON objects of what tasks say and come to."""

    def begin(self) -> Sequence[bytes]:
        """What comes first."""

    def pieces(self, heard: Sequence[Heard]) -> Sequence[bytes]:
        """What was said."""

    def end(self, results: Sequence[Any]) -> Sequence[bytes]:
        """What comes last."""


class EventStream(Response):
    """Tells what an errand's tasks say while they say it. What fails before anything was said is answered with a status
    of its own, what fails later with an ``error`` as the last data.

    A client that reads slowly is waited for by nobody: what was said meanwhile comes in one piece.
    """

    def __init__(self, errand: Errand, telling: Telling, headers: Mapping[str, str]) -> None:
        super().__init__(None, 200, {**headers, "cache-control": "no-store"}, media_type="text/event-stream")
        del self.headers["content-length"]
        self._errand = errand
        self._telling = telling
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as long as anybody reads."""
        async with self._errand:
            try:
                await self._tell(send)
            except (CommandError, TaskEnded) as error:
                if not self._begun:
                    await error_answer(error)(scope, receive, send)
                    return
                await _send(send, event(error_bytes(error)), more=False)

    async def _tell(self, send: Send) -> None:
        async with aclosing(self._errand.heard()) as news:
            async for heard in news:
                pieces = b"".join(map(event, self._telling.pieces(heard))) if heard else BEAT
                await self._send(send, pieces)
        last = b"".join(map(event, self._telling.end(await self._errand.results())))
        await self._send(send, last + DONE, more=False)

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            data = b"".join(map(event, self._telling.begin())) + data
        await _send(send, data, more=more)


async def _send(send: Send, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def event(data: bytes) -> bytes:
    """JSON of one line as an event."""
    return b"data: %b\n\n" % data
