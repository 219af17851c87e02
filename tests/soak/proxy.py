"""A TCP proxy on loopback that can break off connections, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import random


class Proxy:
    """Passes bytes on between clients and a port, until it is told to cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/ws"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def cut_one(self, chance: random.Random) -> None:
        """Break off one connection without a goodbye."""
        if self._writers:
            _abort(chance.choice(sorted(self._writers, key=id)))

    def cut_all(self) -> None:
        """Break off all of them at once."""
        for writer in tuple(self._writers):
            _abort(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the server is being started again
            _abort(writer)
            return
        self._writers |= {writer, back}
        pipes = {asyncio.create_task(_pass_on(reader, back)), asyncio.create_task(_pass_on(there, writer))}
        self._pipes |= pipes
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            _abort(each)
            self._writers.discard(each)
        await asyncio.gather(*pipes, return_exceptions=True)
        self._pipes -= pipes


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
