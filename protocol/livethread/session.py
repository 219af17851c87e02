"""The client's end of one session: a socket from its opening to its close. The only I/O in this folder.

It must never know threads, or whether anybody comes back when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import websockets
from msgspec import Struct
from websockets.asyncio.client import ClientConnection as Socket
from websockets.frames import CloseCode as Standard
from websockets.typing import Subprotocol

from livethread.calls import Call
from livethread.codec import CODECS, Codec
from livethread.connection import Answer, ClientConnection
from livethread.errors import CommandError, ConnectError, ConnectionClosed
from livethread.messages import Command, Event, Hello, HelloOk, TaskEvent
from livethread.model import FRAME_BYTES

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
PING_SECONDS = 15.0
PONG_SECONDS = 8.0
GOODBYE_SECONDS = 5.0
"""A peer that is gone without a word is noticed within these three together: less than 30 seconds."""


class Answered(Struct, frozen=True):
    """What became of a call."""

    call: Call
    outcome: Struct | CommandError


class Session:
    """One connection to a server. Open it with `open_session`, `greet`, then `send` and `receive`."""

    def __init__(self, socket: Socket, codec: Codec) -> None:
        self._socket = socket
        self._codec = codec
        self._connection = ClientConnection(codec)
        self._calls: dict[int, Call] = {}
        self._answered = asyncio.Event()

    async def greet(self, hello: Hello) -> HelloOk:
        """Say hello and wait for the answer. `CommandError` where the server refuses, `ConnectionClosed`."""
        await self.send(Call(hello))
        while not isinstance(message := await self.receive(), Answered):
            pass  # nothing else should come before the answer
        if isinstance(message.outcome, CommandError):
            raise message.outcome
        assert isinstance(message.outcome, HelloOk), "the connection converts outcomes to the command's Ok"
        return message.outcome

    def prove(self, command: Command) -> None:
        """Raise what `send` would, such as TypeError or UnicodeEncodeError, where a command cannot be put into words.
        The session may be over.
        """
        self._codec.encode(command)

    async def send(self, call: Call) -> None:
        """Send a call's command. `ConnectionClosed` where the session is over."""
        number, frame = self._connection.send(call.words(self))
        self._calls[number] = call
        try:
            await self._socket.send(frame)
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None

    async def room(self, unanswered: int) -> None:
        """Come back when fewer calls than this wait for their answers here."""
        while len(self._calls) >= unanswered:
            self._answered.clear()
            await self._answered.wait()

    async def receive(self) -> Answered | Event | TaskEvent | None:
        """What comes next; None where it is of a type that this version does not know.

        `ConnectionClosed` where the session is over, `FrameError` and `ProtocolError` as `ClientConnection.receive`.
        """
        try:
            frame = await self._socket.recv()
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None
        message = self._connection.receive(frame)
        if isinstance(message, Answer):
            self._answered.set()
            return Answered(self._calls.pop(message.command.id), message.outcome)
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session. Safe to call again."""
        await self._socket.close(code, reason)


OpenSession = Callable[[], Awaitable[Session]]


async def open_session(url: str, subprotocol: str) -> Session:
    """Open a socket. `ConnectError` where there is no livethread server that speaks this subprotocol."""
    try:
        socket = await websockets.connect(
            url,
            subprotocols=[Subprotocol(subprotocol)],
            compression=None,
            max_size=8 * FRAME_BYTES,  # what the server adds to the messages of one of our frames has to fit
            proxy=None if urlsplit(url).hostname in LOCAL_HOSTS else True,
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            close_timeout=GOODBYE_SECONDS,
        )
    except (OSError, ValueError, websockets.WebSocketException) as error:
        raise ConnectError(f"No livethread server can be reached at {url}: {error}.") from error
    if socket.subprotocol != subprotocol:
        await socket.close()
        raise ConnectError(f"The server at {url} does not speak {subprotocol}. Is it a livethread server?")
    return Session(socket, CODECS[subprotocol])


def _closed(error: websockets.ConnectionClosed) -> ConnectionClosed:
    if error.rcvd is not None:
        return ConnectionClosed(error.rcvd.code, error.rcvd.reason)
    if error.sent is None or error.sent.code == Standard.INTERNAL_ERROR:
        # websockets itself gives up with 1011 where no pong comes.
        return ConnectionClosed(1006, error.sent.reason if error.sent else "it broke off")
    return ConnectionClosed(error.sent.code, error.sent.reason)
