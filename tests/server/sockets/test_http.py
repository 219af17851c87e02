from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from livethread_server.bounds import Bounds
from tests.echo import echoing, rest, until

HASTY = Bounds(request_seconds=0.1)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


HEADS = [
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody",
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
]


def reset(stalled: socket.socket) -> bool:
    """Whether the other end gave the connection up."""
    return stalled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


@pytest.mark.parametrize(
    "head",
    HEADS,
    ids=["silence", "half a line", "half a header", "half a body", "half a handshake"],
)
async def test_a_request_that_is_never_made_is_cut_off(head: bytes) -> None:
    async with echoing(HASTY) as echo, echo.raw(head) as (reader, _):
        got = await rest(reader)
        assert got == b"" or got.startswith(b"HTTP/1.1 200")


async def test_bytes_that_trickle_in_hold_no_socket_open() -> None:
    async with echoing(HASTY) as echo, echo.raw(GET) as (reader, writer):
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")

        async def trickle() -> None:
            while True:
                writer.write(b"\r\n")
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        assert await rest(reader) == b""
        trickling.cancel()


async def test_an_answer_that_nobody_reads_is_cut_off() -> None:
    async with echoing(HASTY) as echo:
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", echo.port))
            stalled.sendall(b"GET /?67108864 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stalled.setblocking(False)

            await until(lambda: reset(stalled))


async def test_requests_in_time_may_follow_one_another() -> None:
    async with echoing(Bounds(request_seconds=30)) as echo, echo.raw(GET + GET) as (reader, writer):
        for _ in range(2):
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        writer.write(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 5000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 1000,
    ],
    ids=["line", "endless header", "header", "headers"],
)
async def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async with echoing(Bounds(head_bytes=4096)) as echo, echo.raw(head) as (reader, _):
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http_is_refused() -> None:
    async with echoing(Bounds()) as echo, echo.raw(b"\x16\x03\x01 hello\r\n\r\n") as (reader, _):
        assert (await rest(reader)).startswith(b"HTTP/1.1 400 ")


async def test_sockets_above_the_bound_are_refused_until_one_closes() -> None:
    async with echoing(Bounds(sockets=1)) as echo, echo.raw(GET) as (reader, writer):
        await reader.readuntil(b"hello")
        async with echo.raw(GET) as (refused, _):
            assert (await rest(refused)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        answer = b""
        async with asyncio.timeout(10):
            while not answer.startswith(b"HTTP/1.1 200 "):
                async with echo.raw(GET) as (again, _):
                    answer = await again.read(100)
