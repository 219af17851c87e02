"""Thousands of connections that a bench opens by hand and reads with as little of the CPU as it can.

One OS thread, raw sockets, one poll; frames are kept as bytes and looked at when the measuring is over. This module
must never know what is measured.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgpack
from msgspec import Struct
from websockets.frames import Frame, Opcode

from tests.bench.wire import PATIENCE, Map

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: livethread.v1.msgpack\r\n\r\n"
)
PIECE = 1 << 16
BINARY, PING, CLOSE = 0x82, 0x89, 0x88
AT_ONCE = 100
"""How many handshakes are under way together."""


class Heard(Struct, frozen=True):
    """A message came in ``at`` (``time.monotonic()``)."""

    at: float
    data: bytes

    def message(self) -> Map:
        """What it says."""
        plain: Map = msgpack.unpackb(self.data)
        return plain


class Reader:
    """One connection: what came of it so far."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.heard: list[Heard] = []
        self.closed = False
        self._rest = b""

    def send(self, kind: str, number: int, **fields: object) -> None:
        """Send a command."""
        self._write(Opcode.BINARY, msgpack.packb({"type": kind, "id": number, **fields}))

    def take(self, seen: dict[bytes, bytes]) -> None:
        """Read what is there. Equal messages to many readers are kept once, in ``seen``."""
        try:
            piece = self.raw.recv(PIECE)
        except BlockingIOError:
            return
        except ConnectionError:
            piece = b""
        at = time.monotonic()
        if not piece:
            self.closed = True
            return
        data, start = self._rest + piece, 0
        while (end := _end(data, start)) is not None:
            body = data[end[0] : end[1]]
            if data[start] == BINARY:
                self.heard.append(Heard(at, seen.setdefault(body, body)))
            elif data[start] == PING:
                self._write(Opcode.PONG, body)
            elif data[start] == CLOSE:
                self.closed = True
            start = end[1]
        self._rest = data[start:]

    def _write(self, opcode: Opcode, data: bytes) -> None:
        try:
            self.raw.send(Frame(opcode, data).serialize(mask=True))
        except ConnectionError:
            self.closed = True


class Readers:
    """Many connections; those in ``asleep`` are not read."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._request = HANDSHAKE.format(path=parts.path, host=parts.netloc).encode()
        self._poll = select.epoll()
        self._seen: dict[bytes, bytes] = {}
        self.readers: dict[int, Reader] = {}

    def open(self, count: int) -> list[Reader]:
        """Open so many more connections."""
        opened: list[Reader] = []
        while len(opened) < count:
            raws = [self._begin() for _ in range(min(AT_ONCE, count - len(opened)))]
            opened += [self._finish(raw) for raw in raws]
            self.listen(0.0)  # those that are open are asked for signs of life
        return opened

    def sleep(self, reader: Reader) -> None:
        """No longer read a connection; only its end is noticed."""
        self._poll.modify(reader.raw.fileno(), 0)

    def listen(self, seconds: float) -> None:
        """Read whatever comes for at most so long, until something came."""
        for number, events in self._poll.poll(seconds):
            reader = self.readers[number]
            if events & select.EPOLLIN:
                reader.take(self._seen)
            if reader.closed or events & (select.EPOLLHUP | select.EPOLLERR):
                reader.closed = True
                self._poll.unregister(number)

    def ask(self, readers: Sequence[Reader], kind: str, number: int, **fields: object) -> None:
        """Send a command on each of these connections and wait until all are answered."""
        for reader in readers:
            reader.send(kind, number, **fields)
        deadline = time.monotonic() + PATIENCE
        while not all(_answers(reader, number) for reader in readers):
            self.listen(1.0)
            assert time.monotonic() < deadline, f"{kind} is not answered"

    def close(self) -> None:
        """End all connections without ceremony."""
        for reader in self.readers.values():
            reader.raw.close()
        self._poll.close()

    def _begin(self) -> socket.socket:
        raw = socket.create_connection(self._address, timeout=PATIENCE)
        raw.sendall(self._request)
        return raw

    def _finish(self, raw: socket.socket) -> Reader:
        answer = raw.recv(4096)
        while not answer.endswith(b"\r\n\r\n"):
            answer += raw.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        raw.setblocking(False)
        reader = self.readers[raw.fileno()] = Reader(raw)
        self._poll.register(raw.fileno(), select.EPOLLIN)
        return reader


def _answers(reader: Reader, number: int) -> bool:
    if reader.closed:
        raise ConnectionError("the server closed a connection")
    return any(heard.message().get("id") == number for heard in reader.heard)


def _end(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the payload of the frame at ``start`` begins and ends; None where it is not all there. The server's frames
    have no masks (RFC 6455, 5.2)."""
    if len(data) < start + 2:
        return None
    size, begin = data[start + 1], start + 2
    if size > 125:
        width = 2 if size == 126 else 8
        size, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
    return (begin, begin + size) if len(data) >= begin + size else None


@contextlib.contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let this process and those it starts have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
