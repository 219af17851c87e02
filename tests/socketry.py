"""A service behind a real uvicorn on loopback, in this process, for tests of the doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from livethread_server.bounds import Bounds
from livethread_server.http.api import api_operations, api_routes
from livethread_server.http.door import HttpDoor
from livethread_server.http.openai.door import openai_routes
from livethread_server.http.site import http_routes
from livethread_server.outbox import Outbox
from livethread_server.sockets import protocols
from livethread_server.websocket import WebSocketDoor
from tests.house import House

BOUNDS = Bounds()


class OpenHouse:
    """A house with its doors open on ``port``."""

    def __init__(self, house: House, door: WebSocketDoor, web: HttpDoor, port: int) -> None:
        self.house = house
        self.door = door
        self.web = web
        self.port = port
        self.ws_url = f"ws://127.0.0.1:{port}/v1/ws"
        self.url = f"http://127.0.0.1:{port}"

    async def outbox(self) -> Outbox:
        """The outbox of the one socket that is, or soon will be, open."""
        await _until(lambda: bool(self.door._open))
        return next(iter(self.door._open))

    async def opened(self, count: int) -> None:
        """Return once so many sockets are open."""
        await _until(lambda: len(self.door._open) == count)

    async def answered(self) -> None:
        """Return once no request is being answered."""
        await _until(lambda: not self.web.sessions)

    async def emptied(self) -> None:
        """Return once no socket is open."""
        await _until(lambda: not self.door._open)


@asynccontextmanager
async def opened(
    house: House, *, bounds: Bounds = BOUNDS, webclient: Path | None = None, hello_required: bool = False
) -> AsyncIterator[OpenHouse]:
    """Open the doors of a house until the block ends."""
    door = WebSocketDoor(house.service, bounds, hello_required=hello_required or house.gate.required)
    web = HttpDoor(house.service, bounds, "i_1")
    api = api_routes(api_operations(web), web)
    openai = openai_routes(house.openai.operations(), web)
    routes = [WebSocketRoute("/v1/ws", door.serve), *api, *openai, *http_routes(house.service, webclient)]
    app = Starlette(routes=routes)
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **protocols(bounds),
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await _until(lambda: server.started)
    try:
        yield OpenHouse(house, door, web, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
