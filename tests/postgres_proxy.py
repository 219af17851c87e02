"""A way to a PostgreSQL server that breaks off just when a change is kept, before that or behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Literal

from tests.postgres import PASSWORD, name_of

COMMIT = b"COMMIT;\0"
"""How asyncpg ends a transaction: the text of a simple query."""

Loss = Literal["command", "answer"]
"""What of a COMMIT is lost: it itself, so that nothing is kept, or only that it was."""


class PostgresProxy:
    """Passes bytes on. Of each of the next COMMITs, as ``losses`` says, something is lost, and the connection with it.
    Where it is ``away`` then, nobody is let in any more.
    """

    def __init__(self, port: int) -> None:
        self.losses: list[Loss] = []
        self.away = False
        self.lost = asyncio.Event()
        self._closed = False
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, url: str) -> str:
        """The URL of a database by this way."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/{name_of(url)}"

    def open(self) -> None:
        """Let people in again."""
        self._closed = False

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Listen no more, and end what is open."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        losing = asyncio.Event()
        ways = {self._task(self._up(reader, back, losing)), self._task(_down(there, writer, losing))}
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            each.transport.abort()

    def _task(self, way: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(way)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if data.endswith(COMMIT) and self.losses:
                    self._closed = self.away
                    self.lost.set()
                    if self.losses.pop(0) == "command":
                        return
                    losing.set()
                writer.write(data)
                await writer.drain()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            if losing.is_set():
                return
            writer.write(data)
            await writer.drain()
