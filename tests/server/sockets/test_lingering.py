from __future__ import annotations

import asyncio
import socket

from livethread_server.sockets.lingering import LingeringTransport
from tests.echo import until


class Accepting(asyncio.Protocol):
    """Writes more than anybody takes, and closes."""

    def __init__(self, seconds: float) -> None:
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        lingering = LingeringTransport(transport, asyncio.get_running_loop(), self._seconds)
        lingering.write(b"x" * (64 << 20))
        lingering.close()
        lingering.close()
        assert lingering.is_closing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def test_a_close_does_not_wait_for_a_reader_for_ever() -> None:
    protocols: list[Accepting] = []

    def accepting() -> Accepting:
        protocols.append(Accepting(0.05))
        return protocols[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(accepting, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        await until(lambda: bool(protocols))
        async with asyncio.timeout(10):
            await protocols[0].lost
    server.close()
    await server.wait_closed()
