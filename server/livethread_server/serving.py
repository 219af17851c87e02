"""uvicorn, ending as this server does: on a signal runs may finish, clients are told, and the exit code is 0.

It must never know what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

import uvicorn

log = logging.getLogger(__name__)

CLOSING_PAUSE = 0.05
"""Seconds between the batches in which sockets are closed, so that their clients do not all come back at once."""


class Drained(Protocol):
    """What is served, as far as its end goes."""

    def close(self) -> None:
        """Accept no run any more; those there are go on."""

    async def idle(self) -> None:
        """Return when no run is left."""

    async def part(self, pause: float) -> None:
        """Interrupt the runs that are left, then close all sockets; ``pause`` seconds between batches of them."""

    def give_up(self) -> None:
        """Whatever still takes time is not worth it."""


class Server(uvicorn.Server):
    """On SIGINT or SIGTERM it takes nothing new, gives runs ``drain`` seconds, and ends. A second one ends the waiting
    for runs. One that comes once all sockets are closed ends what is stopped then; closing them has bounds of its own.

    uvicorn would raise the signal again behind its end, and cut off who is still served.
    """

    def __init__(self, served: Drained, config: uvicorn.Config, drain: float) -> None:
        super().__init__(config)
        self._served = served
        self._drain = drain
        self._hurry = asyncio.Event()
        self._over = False

    @contextlib.contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """From now on signals ask for an orderly end, before there is anything to serve too."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing more: `heeding_signals` holds."""
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; without what is being waited for where that was asked for already."""
        if self._over:
            self._served.give_up()
        elif self.should_exit:
            self._hurry.set()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, drain, close every WebSocket with 4001 before uvicorn would with a code of its own."""
        for server in self.servers:
            server.close()
        self._served.close()
        log.info("shutting down; runs may take %g s to finish", self._drain)
        await self._until_idle()
        await self._served.part(0.0 if self._hurry.is_set() else CLOSING_PAUSE)
        await super().shutdown(sockets)
        self._over = True

    async def _until_idle(self) -> None:
        waiting = [asyncio.create_task(work) for work in (self._served.idle(), self._hurry.wait())]
        await asyncio.wait(waiting, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
