"""How much strangers may ask of the server's sockets and sessions, in one frozen value.

It must never know what happens where a bound is passed.
"""

from __future__ import annotations

from msgspec import Struct

from livethread.model import FRAME_BYTES


class Bounds(Struct, frozen=True, kw_only=True):
    """Every bound of a socket and of its session; README has each with its setting.

    ``sockets`` counts HTTP connections too, ``head_bytes`` are a request's line and headers, ``body_bytes`` what it
    brings. A request must be made and answered, or a WebSocket be open, within ``request_seconds``; a first hello,
    where one is needed, must come within ``hello_seconds``. A silent peer is pinged every ``ping_seconds`` and has
    ``pong_seconds`` to answer; one that events go to has ``slow_seconds``. ``close_seconds`` are what it gets to read
    the rest and say goodbye. Commands may come at ``message_rate`` a second and, after a pause, ``message_burst`` at
    once; frames `FRAMES_PER_MESSAGE` times as fast.
    """

    sockets: int = 10_000
    sessions_per_principal: int = 10_000
    head_bytes: int = 32 << 10
    frame_bytes: int = FRAME_BYTES
    body_bytes: int = FRAME_BYTES
    request_seconds: float = 20.0
    hello_seconds: float = 10.0
    ping_seconds: float = 15.0
    pong_seconds: float = 10.0
    slow_seconds: float = 5.0
    close_seconds: float = 5.0
    outbox_bytes: int = 1 << 20
    commands_in_flight: int = 1024
    bytes_in_flight: int = 32 << 20
    message_rate: float = 1000.0
    message_burst: int = 10_000


FRAMES_PER_MESSAGE = 10
"""Frames that are no messages (fragments, pings, pongs) count too, but are cheaper."""
