from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from livethread.errors import CloseCode
from livethread_server.bounds import FRAMES_PER_MESSAGE, Bounds
from livethread_server.sockets.websocket import BUFFER_BYTES, framed
from tests.echo import Echo, echoing, rest, until

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Raw:
    """A socket with an open WebSocket on it, on which a test sends any frames and reads when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        """Send a frame."""
        self.writer.write(Frame(opcode, data, fin).serialize(mask=True))

    async def closed(self) -> int:
        """The code that the server closes with; 0 where it only cuts off."""
        tail = await rest(self.reader)
        found = tail.rfind(b"\x88")
        return int.from_bytes(tail[found + 2 : found + 4], "big") if found >= 0 else 0


@asynccontextmanager
async def opened(echo: Echo) -> AsyncIterator[Raw]:
    async with echo.raw(HANDSHAKE) as (reader, writer):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        yield Raw(reader, writer)


@asynccontextmanager
async def talking(echo: Echo, **options: Any) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(f"ws://127.0.0.1:{echo.port}", max_size=None, **options) as client:
        yield client


@asynccontextmanager
async def stalled(echo: Echo) -> AsyncIterator[Any]:
    """The server's end of a socket and the other end, which reads nothing."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", echo.port))
        raw.sendall(HANDSHAKE)
        await until(lambda: bool(echo.sockets))
        yield echo.sockets[-1], raw


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
async def test_messages_of_every_length_arrive_whole_text_and_binary(size: int) -> None:
    async with echoing(Bounds()) as echo, talking(echo) as client:
        for message in ("x" * size, os.urandom(size)):
            await client.send(message)
            assert await client.recv() == message


@pytest.mark.parametrize("message", ["", "ü", "x" * 126, b"\xff" * 70_000])
def test_a_frame_is_the_one_that_websockets_would_make(message: str | bytes) -> None:
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    data = message.encode() if isinstance(message, str) else message
    assert framed(message) == Frame(opcode, data).serialize(mask=False)


@pytest.mark.parametrize("pieces", [[1 << 20, 1], [(1 << 20) + 1]], ids=["in fragments", "at once"])
async def test_a_message_above_the_bound_is_closed_with_1009(pieces: list[int]) -> None:
    async with echoing(Bounds()) as echo, opened(echo) as raw:
        for number, size in enumerate(pieces):
            raw.send(Opcode.CONT if number else Opcode.BINARY, bytes(size), fin=False)
        assert await raw.closed() == CloseCode.MESSAGE_TOO_BIG


async def test_who_is_still_sending_too_much_hears_why_it_is_closed() -> None:
    async with echoing(Bounds()) as echo, opened(echo) as raw:
        raw.send(Opcode.BINARY, bytes(32 << 20))
        assert await raw.closed() == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.parametrize("pieces", [[b"\xff"], [b"\xc3", b"\x28"]], ids=["at once", "in fragments"])
async def test_text_that_is_no_utf8_is_closed_with_1007(pieces: list[bytes]) -> None:
    async with echoing(Bounds()) as echo, opened(echo) as raw:
        for number, piece in enumerate(pieces):
            raw.send(Opcode.CONT if number else Opcode.TEXT, piece, fin=piece is pieces[-1])
        raw.send(Opcode.TEXT, b"\xff")
        assert await raw.closed() == 1007
        await until(lambda: not echo.sockets)


async def test_the_largest_message_may_come_in_many_fragments() -> None:
    async with echoing(Bounds()) as echo, talking(echo) as client:
        pieces = [os.urandom(1 << 10) for _ in range(1 << 10)]
        await client.send(pieces)
        assert await client.recv() == b"".join(pieces)


async def test_compression_is_not_offered_and_a_compressed_frame_ends_the_connection() -> None:
    async with echoing(Bounds()) as echo:
        async with talking(echo, compression="deflate") as client:
            assert client.protocol.extensions == []
        async with opened(echo) as raw:
            compressed = bytearray(Frame(Opcode.TEXT, b"bomb").serialize(mask=True))
            compressed[0] |= 0b01000000  # RSV1 (RFC 7692, 6)
            raw.writer.write(compressed)
            assert await raw.closed() == 1002


@pytest.mark.parametrize("opcode", [Opcode.CONT, Opcode.PING, Opcode.PONG])
async def test_a_flood_of_frames_that_are_no_messages_is_closed(opcode: Opcode) -> None:
    async with echoing(Bounds(message_rate=0.1, message_burst=10)) as echo, opened(echo) as raw:
        if opcode is Opcode.CONT:
            raw.send(Opcode.TEXT, fin=False)
        for _ in range(20 * FRAMES_PER_MESSAGE):
            raw.send(opcode, fin=opcode is not Opcode.CONT)
        assert await raw.closed() == CloseCode.RATE
        await until(lambda: not echo.sockets)


async def test_fragments_take_no_more_room_than_their_bytes() -> None:
    async with echoing(Bounds()) as echo, opened(echo) as raw:
        raw.send(Opcode.TEXT, b"a", fin=False)
        for _ in range(5000):
            raw.send(Opcode.CONT, fin=False)
        raw.send(Opcode.PING, b"there?")
        await raw.reader.readuntil(b"there?")
        assert [bytes(frame) for frame in echo.sockets[0].frames] == [b"a"]


async def test_a_close_between_fragments_is_answered_as_a_close() -> None:
    async with echoing(Bounds()) as echo, opened(echo) as raw:
        raw.send(Opcode.TEXT, b"a", fin=False)
        raw.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
        assert await raw.closed() == 1000


async def test_a_handshake_that_websockets_cannot_read_is_ended() -> None:
    long = HANDSHAKE.replace(b"\r\n\r\n", b"\r\nCookie: " + b"x" * 9000 + b"\r\n\r\n")
    async with echoing(Bounds()) as echo, echo.raw(long) as (reader, _):
        assert await rest(reader) == b""


async def test_a_silent_client_that_answers_pings_stays() -> None:
    async with echoing(Bounds(ping_seconds=0.01, pong_seconds=5)) as echo, talking(echo) as client:
        await until(lambda: echo.sockets[0].last_ping_rtt > 0)
        first = echo.sockets[0].ping_sent_at
        await until(lambda: echo.sockets[0].ping_sent_at > first)
        assert client.state is State.OPEN


async def test_a_client_that_answers_no_ping_is_closed_with_4012_and_freed() -> None:
    async with echoing(Bounds(ping_seconds=0.01, pong_seconds=0.05)) as echo, opened(echo) as raw:
        assert await raw.closed() == CloseCode.NO_PONG
        await until(lambda: not echo.sockets)


async def test_a_client_that_reads_nothing_of_what_it_is_sent_is_closed_with_4008() -> None:
    async with echoing(Bounds(slow_seconds=0.05)) as echo, opened(echo) as raw:
        await until(lambda: bool(echo.sockets))
        echo.sockets[0].write(["hello"])
        assert await raw.closed() == CloseCode.SLOW


async def test_a_client_that_reads_slowly_but_goes_on_reading_stays() -> None:
    async with echoing(Bounds(slow_seconds=0.2)) as echo, talking(echo, max_queue=None) as client:
        await until(lambda: bool(echo.sockets))
        for _ in range(10):
            echo.sockets[0].write(["x" * 1000])
            await asyncio.sleep(0.05)
        assert client.state is State.OPEN


async def test_who_reads_nothing_is_cut_off_with_all_that_waits_for_it() -> None:
    async with echoing(Bounds(slow_seconds=0.05)) as echo, stalled(echo) as (end, peer):
        while end.ready:
            end.write([b"x" * BUFFER_BYTES])
            await asyncio.sleep(0)
        await until(lambda: end.disconnected)
        # Not even the kernel goes on trying.
        await until(lambda: peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)
        assert end.transport.get_write_buffer_size() == 0
        end.write(["too late"])
        end.close(1000, "too late")


async def test_whoever_writes_hears_when_there_is_room_again() -> None:
    async with echoing(Bounds()) as echo, talking(echo) as client:
        await until(lambda: bool(echo.sockets))
        room = asyncio.Event()
        echo.sockets[0].on_ready = room.set
        echo.sockets[0].write([b"x" * (32 << 20)])
        assert not echo.sockets[0].ready
        await client.recv()
        async with asyncio.timeout(10):
            await room.wait()
        assert echo.sockets[0].ready


async def test_pongs_do_not_pile_up_for_who_reads_nothing() -> None:
    async with echoing(Bounds()) as echo, stalled(echo) as (end, _):
        while end.ready:
            end.write([b"x" * BUFFER_BYTES])
            await asyncio.sleep(0)
        waiting = end.transport.get_write_buffer_size()
        for number in range(100):
            end.data_received(Frame(Opcode.PING, b"%d" % number).serialize(mask=True))
        assert end.transport.get_write_buffer_size() <= waiting
        assert end._pong == Frame(Opcode.PONG, b"99").serialize(mask=False)


async def test_a_close_says_why_in_as_many_bytes_as_there_is_room_for() -> None:
    async with echoing(Bounds()) as echo, talking(echo) as client:
        await until(lambda: bool(echo.sockets))
        echo.sockets[0].close(4001, "ü" * 100)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "ü" * 61)


async def test_who_does_not_answer_a_close_is_cut_off() -> None:
    async with echoing(Bounds(close_seconds=0.05)) as echo, opened(echo) as raw:
        await until(lambda: bool(echo.sockets))
        end = echo.sockets[0]
        end.close(1000, "")
        assert await raw.closed() == 1000
        await until(lambda: end.disconnected)


async def test_who_stops_sending_but_never_reads_is_cut_off() -> None:
    async with echoing(Bounds(close_seconds=0.05)) as echo, stalled(echo) as (end, _):
        while end.ready:
            end.write([b"x" * BUFFER_BYTES])
            await asyncio.sleep(0)
        end.eof_received()
        await until(lambda: end.disconnected)
