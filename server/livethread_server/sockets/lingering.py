"""A transport that ends in bounded time, whatever its peer reads.

It must never know what is written.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

AT_ONCE = struct.pack("ii", 1, 0)
"""``struct linger``: on, for no time (socket(7))."""


class LingeringTransport:
    """``transport``, but what is not read ``seconds`` after `close` is thrown away.

    A transport's own close waits for its buffer to be read, which a peer can put off for ever. Call `lost` when the
    connection is.
    """

    __slots__ = ("_loop", "_seconds", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close when what was written is read, or the time is up."""
        if not self._transport.is_closing():
            self._transport.close()
            self._timer = self._loop.call_later(self._seconds, self.abort)

    def abort(self) -> None:
        """Throw away all that waits, the kernel's part of it too, and reset the connection."""
        cut_off(self._transport)

    def lost(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def cut_off(transport: asyncio.Transport) -> None:
    """Abort a connection that is not lost yet, and keep nothing of it in the kernel either: without this that would go
    on for minutes trying to deliver what a stalled peer does not take."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    transport.abort()
