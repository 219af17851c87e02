"""The API of a house for tests: requests in this process, and a reader of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from msgspec import Struct
from starlette.applications import Starlette

from livethread_server.bounds import Bounds
from livethread_server.http.api import api_operations, api_routes
from livethread_server.http.door import HttpDoor
from livethread_server.http.operation import Operation
from tests.house import House

PATIENCE = 10.0


@asynccontextmanager
async def asking(house: House, *more: Operation, token: str = "", **bounds: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the house's API, without sockets: an answer comes whole."""
    door = HttpDoor(house.service, Bounds(**bounds), "i_1")
    app = Starlette(routes=api_routes([*api_operations(door), *more], door))
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        yield client


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and code of a refusal, which is a problem document that says both."""
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == answer.status_code
    assert said["type"] == f"urn:livethread:error:{said['code']}"
    assert said["detail"].endswith(".")
    return answer.status_code, said["code"]


class Told(Struct, frozen=True):
    """A server-sent event: its name, its position, and its data."""

    name: str
    position: str
    data: dict[str, Any]


class Stream:
    """The events of one answer, in the order told."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self, *names: str) -> Told:
        """The next event, or the next of these names."""
        async with asyncio.timeout(PATIENCE):
            while True:
                told = await self._next()
                assert told is not None, "the stream has ended"
                if not names or told.name in names:
                    return told

    async def comment(self) -> str:
        """The next line that is no part of an event."""
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line:
                    return line
        raise AssertionError("the stream has ended")

    async def rest(self) -> list[Told]:
        """All events up to the end of the stream."""
        found: list[Told] = []
        async with asyncio.timeout(PATIENCE):
            while (told := await self._next()) is not None:
                found.append(told)
        return found

    async def _next(self) -> Told | None:
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if line and line != ":":
                fields[name] = value
            elif "data" in fields:
                return Told(fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"]))
            else:
                fields.clear()
        return None


@asynccontextmanager
async def streaming(url: str, method: str = "GET", **more: Any) -> AsyncIterator[Stream]:
    """The events of a request to a server, until the block ends."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client, client.stream(method, url, **more) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)
