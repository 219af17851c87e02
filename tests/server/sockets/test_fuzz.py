"""Frames that no WebSocket library sends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from livethread_server.bounds import Bounds
from tests.echo import Echo, echoing, rest, until
from tests.fuzzing import EXAMPLES

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
END = b"\x88\x80abcd"
"""An empty close frame, masked."""


class Piece(Struct, frozen=True):
    """Some frame: its first two bytes are anything, its length may be a lie."""

    first: int
    masked: bool
    claimed: int
    payload: bytes

    def bytes(self) -> bytes:
        """What goes over the wire."""
        mask = 0x80 if self.masked else 0
        if self.claimed < 126:
            head = pack("!BB", self.first, mask | self.claimed)
        elif self.claimed < 1 << 16:
            head = pack("!BBH", self.first, mask | 126, self.claimed)
        else:
            head = pack("!BBQ", self.first, mask | 127, self.claimed)
        return head + (b"\0\0\0\0" if self.masked else b"") + self.payload


def _honest(first: int, payload: bytes) -> Piece:
    return Piece(first, True, len(payload), payload)


OPCODES = st.sampled_from([0x01, 0x81, 0x02, 0x82, 0x00, 0x80, 0x89, 0x8A])
LIES = st.builds(
    Piece, st.integers(0, 255), st.booleans(), st.sampled_from([0, 3, 125, 126, 70_000, 1 << 40]), st.binary(max_size=9)
)
PIECES = st.lists(
    st.one_of(
        *(4 * [st.builds(_honest, OPCODES, st.binary(max_size=130))]),
        LIES,
        st.builds(_honest, st.just(0x88), st.binary(max_size=4)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[asyncio.Runner, Echo]]:
    """One server for all examples, and the loop that it runs in."""
    with asyncio.Runner() as runner:
        bounds = Bounds(request_seconds=1, close_seconds=0.5, head_bytes=1024)
        context = echoing(bounds)
        echo = runner.run(context.__aenter__())
        yield runner, echo
        runner.run(context.__aexit__(None, None, None))


@EXAMPLES
@given(pieces=PIECES, head=st.just(HANDSHAKE) | st.binary(max_size=60))
def test_no_bytes_break_a_socket_or_keep_it_open(
    server: tuple[asyncio.Runner, Echo], caplog: pytest.LogCaptureFixture, pieces: Sequence[Piece], head: bytes
) -> None:
    caplog.clear()
    runner, echo = server
    runner.run(_send(echo, head + b"".join(piece.bytes() for piece in pieces) + END))
    assert not [record for record in caplog.records if "Exception" in record.message or "Fatal" in record.message]


async def _send(echo: Echo, data: bytes) -> None:
    async with echo.raw() as (reader, writer):
        head, end, frames = data.partition(b"\r\n\r\n")
        writer.write(head + end)
        if head + end == HANDSHAKE:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(frames)
        writer.write_eof()
        await rest(reader)
        await until(lambda: not echo.sockets)
