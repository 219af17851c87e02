"""Answers as server-sent events in the way of OpenAI: nothing but data, an ``error`` among it, ``[DONE]`` at the end.

It must never know what is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from livethread.errors import CommandError
from livethread_server.http.call import Call
from livethread_server.http.openai.errand import Errand, Heard
from livethread_server.http.openai.errors import error_bytes
from livethread_server.http.sse import EventStream, Parts, event

DONE = event("[DONE]")


class Telling(Protocol):
    """Makes JSON objects of what tasks say and come to."""

    def begin(self) -> Sequence[bytes]:
        """What comes first."""

    def pieces(self, heard: Sequence[Heard]) -> Sequence[bytes]:
        """What was said."""

    def end(self, results: Sequence[Any]) -> Sequence[bytes]:
        """What comes last."""


class ErrandStream(EventStream):
    """Tells what an errand's tasks say while they say it, and closes the errand."""

    def __init__(self, errand: Errand, telling: Telling, call: Call, headers: dict[str, str]) -> None:
        # A "retry" that comes alone would be an event without data to OpenAI's Python client.
        super().__init__(
            _parts(errand, telling),
            call.connection,
            headers,
            beat=call.beat,
            on_error=_error,
            opening=b"",
            shut_out=call.shut_out,
        )
        self._errand = errand

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as long as anybody reads."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._errand.close()


async def _parts(errand: Errand, telling: Telling) -> Parts:
    first = b"".join(map(event, telling.begin()))
    async with aclosing(errand.heard()) as news:
        async for heard in news:
            yield first + b"".join(map(event, telling.pieces(heard)))
            first = b""
    yield first + b"".join(map(event, telling.end(await errand.results()))) + DONE


def _error(error: CommandError) -> bytes:
    return event(error_bytes(error))
