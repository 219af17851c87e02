"""A wire that is cut: everything goes through it frame by frame, until so many have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import websockets
from websockets.asyncio.server import ServerConnection, serve


class Wire:
    """Between a client that connects to ``url`` and a server. ``cuts`` are the frames, either way, of each connection
    until it breaks off without a word; connections behind the last have no end.
    """

    def __init__(self, server: str) -> None:
        self.url = ""
        self.cuts: list[int] = []
        self.connections = 0
        self._server = server

    async def carry(self, near: ServerConnection) -> None:
        """Carry the frames of one connection."""
        self.connections += 1
        left = self.cuts.pop(0) if self.cuts else None
        async with websockets.connect(self._server, subprotocols=_asked(near), compression=None) as far:

            async def pass_on(source: Any, sink: Any) -> None:
                nonlocal left
                with suppress(websockets.ConnectionClosed):
                    async for frame in source:
                        if left == 0:
                            return
                        left = None if left is None else left - 1
                        await sink.send(frame)

            ways = [asyncio.create_task(pass_on(near, far)), asyncio.create_task(pass_on(far, near))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            near.transport.abort()
            far.transport.abort()
            await asyncio.wait(ways)


@asynccontextmanager
async def wire_to(server: str) -> AsyncIterator[Wire]:
    """A wire to a server."""
    wire = Wire(server)
    async with serve(wire.carry, "127.0.0.1", 0, select_subprotocol=lambda _, offered: offered[0]) as listening:
        wire.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/ws"
        yield wire


def _asked(near: ServerConnection) -> list[Any]:
    return [near.subprotocol]
