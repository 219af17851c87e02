"""The WebSocket door: frames of one socket in, the session's outbox out.

``ping``, ``hello`` and ``cancel`` wait for nothing; other commands keep their order. It must never know what a command
does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct
from starlette.websockets import WebSocket

from livethread.codec import CODECS, SUBPROTOCOL_JSON, Codec, Frame, bytes_of
from livethread.connection import ServerConnection
from livethread.errors import CloseCode, CommandError, ErrorCode, FrameError
from livethread.messages import Cancel, Command, Empty, Hello, Ping, TaskCancel
from livethread_server.bounds import Bounds
from livethread_server.bucket import Bucket
from livethread_server.headcount import Headcount
from livethread_server.logs import bound
from livethread_server.ordering import Ordering
from livethread_server.outbox import Outbox
from livethread_server.service import Service
from livethread_server.session import Session

log = logging.getLogger(__name__)

TOKEN_PREFIX = "livethread.token."
"""What a subprotocol begins with that brings a token: the one header that a browser lets its pages set."""
HELLO_TRIES = 3
"""How many hellos may be refused until the session is closed."""
PIECE_BYTES = 64 << 10
"""How much is given to the socket at once, as long as it has room."""
CLOSED_AT_ONCE, CLOSING_BATCHES = 50, 40
"""How many sockets are closed in one batch at least, and in how many batches all of them at most."""


class Socket(Protocol):
    """What a session needs of its socket: nothing here waits."""

    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """Whether more should be written now; ``on_ready`` is called when that comes true."""

    def write(self, frames: Iterable[Frame]) -> None:
        """Send frames."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye behind what was sent, and be gone soon."""

    def abort(self) -> None:
        """Be gone now."""


class WebSocketDoor:
    """Every open socket of the server. Where ``hello_required``, nothing else is let in before one is accepted."""

    def __init__(
        self, service: Service, bounds: Bounds, *, hello_required: bool = False, headcount: Headcount | None = None
    ) -> None:
        self.service = service
        self.bounds = bounds
        self.hello_required = hello_required
        self._open: dict[Outbox, asyncio.Event] = {}
        self._sessions = Headcount(bounds.sessions_per_principal) if headcount is None else headcount

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket from handshake to close."""
        asked = [name for name in websocket.scope["subprotocols"] if name in CODECS]
        codec = CODECS[asked[0] if asked else SUBPROTOCOL_JSON]
        await websocket.accept(subprotocol=asked[0] if asked else None)
        session = Session(Outbox(codec, self.bounds.outbox_bytes))
        with bound(session=session.id):
            await self._converse(session, codec, websocket)

    async def _converse(self, session: Session, codec: Codec, websocket: WebSocket) -> None:
        log.info("session begins")
        gone = self._open[session.outbox] = asyncio.Event()
        try:
            await self._let_in(session, websocket)
            connection = ServerConnection(codec, hello_required=self.needs_hello(session))
            await _Conversation(self, session, connection, websocket.scope["state"]["socket"]).run(websocket)
        finally:
            code, _ = session.outbox.closed or (CloseCode.GOING_AWAY, "")
            log.info("session of %s ends with %d", session.principal.id, code)
            del self._open[session.outbox]
            gone.set()
            self._leave(session)

    async def _let_in(self, session: Session, websocket: WebSocket) -> None:
        """Admit who brings a token with the handshake. It is closed after it and not refused before, because
        browsers tell their pages nothing of a refusal."""
        tokens = [name for name in websocket.scope["subprotocols"] if name.startswith(TOKEN_PREFIX)]
        if not tokens or not self.service.gate.required:
            return
        try:
            await self.service.gate.admit(session, tokens[0].removeprefix(TOKEN_PREFIX))
        except CommandError as error:
            session.outbox.close(CloseCode.UNAUTHORIZED, error.message)

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be written, of all sessions."""
        return sum(outbox.waiting_bytes for outbox in self._open)

    async def close_all(self, code: CloseCode, reason: str, pause: float = 0.0) -> None:
        """Close every socket after what waits for it was sent, and wait for that. ``pause`` seconds lie between one
        batch and the next, none of which waits for a slow reader of another."""
        gone = [event.wait() for event in self._open.values()]
        outboxes = list(self._open)
        size = max(CLOSED_AT_ONCE, -(-len(outboxes) // CLOSING_BATCHES))
        for start in range(0, len(outboxes), size):
            if start:
                await asyncio.sleep(pause)
            for outbox in outboxes[start : start + size]:
                outbox.close(code, reason)
        await asyncio.gather(*gone)

    def needs_hello(self, session: Session) -> bool:
        """Whether the session must say who it is, and has not yet."""
        return self.hello_required and session.admission is None

    def enter(self, session: Session) -> None:
        """It is known whose session it is: close it where that principal has too many already."""
        if not self._sessions.enter(session):
            most = self._sessions.most
            session.outbox.close(CloseCode.TOO_MANY_SESSIONS, f"You have {most} sessions open. Close one of them.")

    def _leave(self, session: Session) -> None:
        self.service.leave(session)
        self._sessions.leave(session)


class _Conversation:
    """One socket: frames in become commands, the outbox is emptied whenever there is something in it and room."""

    __slots__ = (
        *("_connection", "_door", "_emptying", "_ending", "_loop", "_ordering", "_rate", "_refused", "_session"),
        "_socket",
    )

    def __init__(self, door: WebSocketDoor, session: Session, connection: ServerConnection, socket: Socket) -> None:
        self._door = door
        self._session = session
        self._connection = connection
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._ordering = Ordering(door.bounds)
        self._rate = Bucket(door.bounds.message_rate, door.bounds.message_burst, self._loop.time())
        self._emptying = False
        self._refused = 0
        self._ending: asyncio.TimerHandle | None = None

    async def run(self, websocket: WebSocket) -> None:
        """Until either side closes. Commands under way are carried out to their end."""
        self._session.outbox.on_change, self._socket.on_ready = self._wake, self._empty
        hello = self._await_hello()
        self._wake()  # it may be closed already
        try:
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                asked = self._hear(message["bytes"] if text is None else text)
                if asked is not None:
                    await self._greet(asked)
        finally:
            self._session.outbox.close(CloseCode.GOING_AWAY, "the client is gone")
            for timer in (hello, self._ending):
                if timer is not None:
                    timer.cancel()

    # Out

    def _wake(self) -> None:
        if not self._emptying:
            self._emptying = True
            self._loop.call_soon(self._empty)

    def _empty(self) -> None:
        """Write what waits, as far as the socket has room; then close, if that is what is left to do."""
        self._emptying = False
        outbox = self._session.outbox
        while self._socket.ready and (frames := outbox.pop(PIECE_BYTES)):
            self._socket.write(frames)
        if outbox.closed is not None and not outbox.waiting_bytes:
            self._socket.close(*outbox.closed)
        elif outbox.closed is not None and self._ending is None:
            self._ending = self._loop.call_later(self._door.bounds.close_seconds, self._socket.abort)

    # In

    def _hear(self, frame: Frame) -> Hello | None:
        """Take a frame and begin what it asks for; a hello is given back, as nothing is read until it is answered."""
        left = self._rate.take(1, self._loop.time())
        if left < -self._door.bounds.message_burst:
            self._session.outbox.close(CloseCode.RATE, "Commands go on coming too fast. Heed 'rate_limited'.")
        if self._session.outbox.closed is not None:
            return None
        try:
            asked = self._connection.receive(frame)
        except FrameError as error:
            self._session.outbox.close(CloseCode.UNDECODABLE, str(error))
            return None
        if not isinstance(asked, Command):
            self._session.outbox.offer(asked)
        elif left < 0:
            self._refuse(asked, _too_fast(self._door.bounds))
        elif isinstance(asked, Hello):
            return asked
        else:
            self._begin(asked, bytes_of(frame))
        return None

    def _begin(self, command: Command, size: int) -> None:
        service = self._door.service
        if isinstance(command, Ping):
            self._reply(command, Empty())
        elif isinstance(command, Cancel) and (ok := service.cancel(self._session, command)):
            self._reply(command, ok)
        elif isinstance(command, TaskCancel) and (ended := service.cancel_task(self._session, command)):
            self._reply(command, ended)
        elif self._ordering.full(size):
            self._refuse(command, _too_many(self._door.bounds))
        else:
            service.announce(self._session, command)
            self._ordering.start(command, size, self._carry_out)

    def _await_hello(self) -> asyncio.TimerHandle | None:
        if not self._door.needs_hello(self._session):
            self._door.enter(self._session)
            return None
        return self._loop.call_later(self._door.bounds.hello_seconds, self._hello_late)

    def _hello_late(self) -> None:
        if self._connection.state == "greeting":
            seconds = self._door.bounds.hello_seconds
            self._session.outbox.close(CloseCode.NO_HELLO, f"No hello was accepted within {seconds:g} seconds.")

    async def _greet(self, command: Hello) -> None:
        try:
            ok = await self._door.service.hello(self._session, command)
        except CommandError as error:
            self._refuse(command, error)
            self._refused += 1
            if self._refused >= HELLO_TRIES:
                self._session.outbox.close(CloseCode.UNAUTHORIZED, error.message)
            return
        except Exception:
            log.exception("a hello failed")
            self._refuse(command, _internal())
            return
        self._reply(command, ok)
        if not self._session.counted:
            self._door.enter(self._session)

    async def _carry_out(self, command: Command) -> None:
        try:
            await self._door.service.carry_out(self._session, command, lambda ok: self._reply(command, ok))
        except CommandError as error:
            self._refuse(command, error)
        except Exception:
            log.exception("session %s: %s failed", self._session.id, type(command).__name__)
            self._refuse(command, _internal())

    def _reply(self, command: Command, ok: Struct) -> None:
        self._session.outbox.offer(self._connection.reply(command.id, ok))

    def _refuse(self, command: Command, error: CommandError) -> None:
        self._session.outbox.offer(self._connection.refuse(command.id, error))


def _too_many(bounds: Bounds) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"As many commands of this session wait for their reply as may: {bounds.commands_in_flight}, or "
        f"{bounds.bytes_in_flight} bytes of them. Wait for some of them.",
    )


def _too_fast(bounds: Bounds) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"Commands come faster than the {bounds.message_rate:g} a second that this session may send. Wait a moment, "
        "or the connection is closed.",
        per_second=bounds.message_rate,
    )


def _internal() -> CommandError:
    return CommandError(ErrorCode.INTERNAL, "The server failed while it carried out the command. Its log says more.")
