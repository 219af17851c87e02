"""Messages as the bytes of a pipe between two processes of the server: MessagePack values back to back.

This module must never know what the messages mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import msgspec
from msgspec import Struct

from livethread_server.engine.wire import Down, Up

_DOWN: Any = Down
_UP: Any = Up


def pack(message: Struct) -> bytes:
    """Turn one message into the bytes that go through the pipe."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(message, str_keys=True, builtin_types=(bytes,)))
    return packed


class Unpacker:
    """Turns the bytes of a pipe, in whatever pieces they come, into messages of one kind."""

    def __init__(self, kind: Any) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=1 << 30)
        self._kind = kind

    def feed(self, data: bytes) -> Iterator[Any]:
        """Give bytes, take the messages that they complete."""
        self._unpacker.feed(data)
        for plain in self._unpacker:
            yield msgspec.convert(plain, self._kind, str_keys=True)


def unpack_down() -> Unpacker:
    """What the engine process reads with."""
    return Unpacker(_DOWN)


def unpack_up() -> Unpacker:
    """What the server process reads with."""
    return Unpacker(_UP)
