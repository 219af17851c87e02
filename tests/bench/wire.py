"""The wire as the bench's clients speak it: MessagePack, a blocking socket and no event loop.

What a client takes of the CPU, the engine lacks. This module must never know what is said.
"""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any

import msgpack
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

Map = dict[str, Any]
PIECE = 1 << 18
PATIENCE = 120.0
"""Seconds of silence after which the server counts as hung."""


class Wire:
    """One connection: commands out, messages in."""

    def __init__(self, url: str) -> None:
        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("livethread.v1.msgpack")], max_size=None)
        self._socket = socket.create_connection((uri.host, uri.port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ids = itertools.count(1)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while not self._protocol.events_received():
            self._protocol.receive_data(self._socket.recv(PIECE))
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def close(self) -> None:
        """End the connection without ceremony."""
        self._socket.close()

    def send(self, kind: str, **fields: Any) -> int:
        """Send a command; its id."""
        number = next(self._ids)
        self._protocol.send_binary(msgpack.packb({"type": kind, "id": number, **fields}))
        self._flush()
        return number

    def receive(self) -> tuple[float, list[Map]]:
        """Wait for bytes; when they came, and the messages they complete."""
        data = self._socket.recv(PIECE)
        at = time.monotonic()
        if not data:
            raise ConnectionError("the server closed the connection")
        self._protocol.receive_data(data)
        messages = [
            msgpack.unpackb(event.data)
            for event in self._protocol.events_received()
            if isinstance(event, Frame) and event.opcode.name == "BINARY"
        ]
        self._flush()
        return at, messages

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._socket.sendall(data)
