from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.http.connection import Unbounded
from livethread_server.http.sse import EventStream, event, retry


def test_an_event_is_a_few_lines_and_an_empty_one() -> None:
    assert event("{}") == b"data: {}\n\n"
    assert event(b'{"a":1}', "run.delta", "e:1") == b'event: run.delta\nid: e:1\ndata: {"a":1}\n\n'
    assert retry(500) == b"retry: 500\n\n"


class Client:
    """Somebody who reads a stream, until ``leave``."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = False
        self._gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.heard += message.get("body", b"")
        self.ended = message["type"] == "http.response.body" and not message["more_body"]

    def leave(self) -> None:
        self._gone.set()


async def listen(stream: EventStream, client: Client) -> None:
    await stream({"type": "http"}, client.receive, client.send)


async def test_a_stream_ends_with_its_parts() -> None:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield event("1")
        yield event("2")

    client = Client()
    await listen(EventStream(parts(), Unbounded(), {"x-more": "1"}), client)
    assert (client.heard, client.ended) == (b"retry: 1000\n\ndata: 1\n\ndata: 2\n\n", True)


@pytest.mark.parametrize(
    ("error", "code"),
    [(CommandError(ErrorCode.NOT_FOUND, "It is gone."), b"not_found"), (ZeroDivisionError(), b"internal")],
)
async def test_what_goes_wrong_is_the_last_event(error: Exception, code: bytes) -> None:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield event("1")
        raise error

    client = Client()
    await listen(EventStream(parts(), Unbounded()), client)
    assert b"event: error\ndata: {" in client.heard
    assert b'"code":"%b"' % code in client.heard
    assert client.ended


async def test_who_is_shut_out_is_told_so_once_and_the_parts_are_closed() -> None:
    closed = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes, None]:
        try:
            yield event("1")
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def shut_out() -> CommandError:
        while b"1" not in client.heard:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return CommandError(ErrorCode.UNAUTHORIZED, "The token has expired.")

    client = Client()
    await listen(EventStream(parts(), Unbounded(), shut_out=shut_out), client)
    assert closed.is_set()
    assert client.heard.count(b"event: error") == client.heard.count(b'"code":"unauthorized"') == 1
    assert client.ended


async def test_parts_are_closed_when_the_client_goes() -> None:
    closed = asyncio.Event()

    async def parts() -> AsyncGenerator[bytes, None]:
        try:
            yield event("1")
            await asyncio.Event().wait()
        finally:
            closed.set()

    client = Client()
    listening = asyncio.create_task(listen(EventStream(parts(), Unbounded()), client))
    while b"1" not in client.heard:  # noqa: ASYNC110
        await asyncio.sleep(0)
    client.leave()
    await listening
    assert closed.is_set()
    assert not client.ended


async def test_silence_is_broken_by_comments() -> None:
    async def parts() -> AsyncGenerator[bytes, None]:
        while client.heard.count(b":\n\n") < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield event("1")

    client = Client()
    await listen(EventStream(parts(), Unbounded(), beat=0.01), client)
    assert client.ended
