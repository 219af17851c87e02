from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from livethread_server.serving import CLOSING_PAUSE, Server


class Served:
    """Something whose runs take as long as the test likes; ``done`` says what was asked of it, in order."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.over = asyncio.Event()
        self.closed = asyncio.Event()
        self.stopped = asyncio.Event()
        self.stopped.set()

    def close(self) -> None:
        self.done.append("closed")
        self.closed.set()

    async def idle(self) -> None:
        await self.over.wait()
        self.done.append("idle")

    async def part(self, pause: float) -> None:
        self.done.append(pause)

    def give_up(self) -> None:
        self.done.append("given up")


async def nothing(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """An application that nobody asks."""


async def serving(served: Served, drain: float) -> tuple[asyncio.Task[None], socket.socket]:
    """A server that heeds signals, and where it listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(nothing, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = Server(served, config, drain)

    async def serve() -> None:
        with server.heeding_signals():
            await server.serve(sockets=[listener])
            await served.stopped.wait()

    task = asyncio.create_task(serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.001)
    return task, listener


async def test_a_signal_lets_what_runs_end_and_then_ends() -> None:
    served = Served()
    task, listener = await serving(served, drain=1000)
    address = listener.getsockname()
    os.kill(os.getpid(), signal.SIGTERM)
    await served.closed.wait()
    with pytest.raises(OSError):
        await asyncio.open_connection(*address)
    served.over.set()
    await task
    assert served.done == ["closed", "idle", CLOSING_PAUSE]


async def test_what_takes_longer_than_the_drain_is_not_waited_for() -> None:
    served = Served()
    task, _ = await serving(served, drain=0)
    os.kill(os.getpid(), signal.SIGINT)
    await task
    assert served.done == ["closed", CLOSING_PAUSE]


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_it_at_once(second: signal.Signals) -> None:
    served = Served()
    task, _ = await serving(served, drain=1000)
    os.kill(os.getpid(), signal.SIGTERM)
    await served.closed.wait()
    os.kill(os.getpid(), second)
    await task
    assert served.done == ["closed", 0.0]


async def test_a_signal_behind_the_end_ends_what_is_stopped_then() -> None:
    served = Served()
    served.stopped.clear()
    task, _ = await serving(served, drain=0)
    while "given up" not in served.done:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
    served.stopped.set()
    await task


async def test_a_signal_before_there_is_anything_to_serve_is_heeded() -> None:
    served = Served()
    served.over.set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(served, uvicorn.Config(nothing, lifespan="off", log_config=None), 0)
        with server.heeding_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            while not server.should_exit:  # noqa: ASYNC110 - nor for that
                await asyncio.sleep(0)
            await server.serve(sockets=[listener])
    assert served.done[0] == "closed"
