"""uvicorn with our protocols around a small ASGI app: it echoes what comes over a WebSocket, and HTTP is a greeting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

from livethread_server.bounds import Bounds
from livethread_server.sockets import protocols

Map = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Map]]
Send = Callable[[Map], Awaitable[None]]
PATIENCE = 10.0


class Echo:
    """The app; ``sockets`` are the protocols of the WebSockets that are open."""

    def __init__(self) -> None:
        self.sockets: list[Any] = []
        self.port = 0

    async def __call__(self, scope: Map, receive: Receive, send: Send) -> None:
        await (self._echo if scope["type"] == "websocket" else self._greet)(scope, receive, send)

    @asynccontextmanager
    async def raw(self, head: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which ``head`` was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _greet(self, scope: Map, receive: Receive, send: Send) -> None:
        size = int(scope["query_string"] or b"5")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"hello"[:size] + b"." * (size - 5)})

    async def _echo(self, scope: Map, receive: Receive, send: Send) -> None:
        socket = scope["state"]["socket"]
        await receive()
        await send({"type": "websocket.accept"})
        self.sockets.append(socket)
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            socket.write([message["bytes"] if text is None else text])
        self.sockets.remove(socket)


@asynccontextmanager
async def echoing(bounds: Bounds) -> AsyncIterator[Echo]:
    """The app behind a real socket until the block ends."""
    echo = Echo()
    config = uvicorn.Config(
        echo, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **protocols(bounds)
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    echo.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield echo
    finally:
        server.should_exit = True
        await serving


async def until(done: Callable[[], bool]) -> None:
    """Return once something is so."""
    async with asyncio.timeout(PATIENCE):
        while not done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes or cuts off."""
    got = b""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                piece = await reader.read(1 << 16)
            except ConnectionResetError:
                return got
            if not piece:
                return got
            got += piece
