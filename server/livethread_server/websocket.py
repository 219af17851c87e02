"""The WebSocket door: frames of one socket in, the session's outbox out.

Commands on one thread are carried out in the order they came, other threads do not wait; ``ping``,
``hello`` and ``cancel`` wait for nothing. It must never know what a command does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from msgspec import Struct
from starlette.websockets import WebSocket, WebSocketDisconnect

from livethread.codec import CODECS, SUBPROTOCOL_JSON
from livethread.connection import ServerConnection
from livethread.errors import CloseCode, CommandError, ErrorCode, FrameError
from livethread.messages import Cancel, Command, Empty, Hello, Ping, ThreadCommand, ThreadCreate, ThreadFork
from livethread_server.outbox import Outbox
from livethread_server.service import Service
from livethread_server.session import Session

log = logging.getLogger(__name__)

COMMANDS_IN_FLIGHT = 1024
"""How many commands of one session may wait for their reply; more are refused."""
BYTES_IN_FLIGHT = 32 << 20
"""How many bytes of frames those commands may have come in."""
CLOSE_SECONDS = 5.0
"""How long what still waits may take to be written before the socket is closed."""
CLOSED_AT_ONCE, CLOSING_BATCHES = 50, 40
"""How many sockets are closed in one batch at least, and in how many batches all of them at most."""
REASON_BYTES = 123
"""The longest reason a close frame can hold (RFC 6455, 5.5)."""


class WebSocketDoor:
    """Every open socket of the server."""

    def __init__(self, service: Service, outbox_bytes: int) -> None:
        self._service = service
        self._outbox_bytes = outbox_bytes
        self._open: dict[Outbox, asyncio.Event] = {}

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket from handshake to close."""
        asked = [name for name in websocket.scope["subprotocols"] if name in CODECS]
        codec = CODECS[asked[0] if asked else SUBPROTOCOL_JSON]
        await websocket.accept(subprotocol=asked[0] if asked else None)
        session = Session(Outbox(codec, self._outbox_bytes))
        gone = self._open[session.outbox] = asyncio.Event()
        try:
            await _Conversation(self._service, session, websocket).run()
        finally:
            del self._open[session.outbox]
            gone.set()
            self._service.leave(session)

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


class _Conversation:
    """One socket: a reader that starts commands, a writer that empties the outbox."""

    def __init__(self, service: Service, session: Session, websocket: WebSocket) -> None:
        self._service = service
        self._session = session
        self._outbox = session.outbox
        self._websocket = websocket
        self._connection = ServerConnection(session.outbox.codec, hello_required=False)
        self._last: dict[str, asyncio.Task[None]] = {}
        self._since: set[asyncio.Task[None]] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._bytes = 0

    async def run(self) -> None:
        """Until either side closes. Commands under way are carried out to their end."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        closing = asyncio.create_task(self._outbox.wait_closed())
        try:
            await asyncio.wait({reader, writer, closing}, return_when=asyncio.FIRST_COMPLETED)
            if self._outbox.closed is not None:
                await asyncio.wait({writer}, timeout=CLOSE_SECONDS)
                await self._close(*self._outbox.closed)
            self._outbox.close(CloseCode.GOING_AWAY, "the client is gone")
        finally:
            await _end(reader, writer, closing)

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            frame = message["bytes"] if text is None else text
            try:
                asked = self._connection.receive(frame)
            except FrameError as error:
                self._outbox.close(CloseCode.UNDECODABLE, str(error))
                return
            if isinstance(asked, Command):
                self._begin(asked, len(frame))
            else:
                self._outbox.offer(asked)

    async def _write(self) -> None:
        while frames := await self._outbox.take():
            for frame in frames:
                if isinstance(frame, str):
                    await self._websocket.send_text(frame)
                else:
                    await self._websocket.send_bytes(frame)

    async def _close(self, code: CloseCode, reason: str) -> None:
        short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            # Starlette raises RuntimeError where the other side closed a moment before us. A reader that has
            # stopped reading would have us wait for ever.
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._websocket.close(code, short)

    # Commands

    def _begin(self, command: Command, size: int) -> None:
        if isinstance(command, Ping):
            self._reply(command, Empty())
        elif isinstance(command, Hello):
            self._reply(command, self._service.hello(self._session))
        elif isinstance(command, Cancel) and (ok := self._service.cancel(self._session, command)):
            self._reply(command, ok)
        elif len(self._commands) >= COMMANDS_IN_FLIGHT or self._bytes + size > BYTES_IN_FLIGHT:
            self._refuse(command, _too_many())
        else:
            self._service.announce(self._session, command)
            self._start(command, size)

    def _start(self, command: Command, size: int) -> None:
        """Carry a command out behind the last one on each of its threads; one without threads behind all."""
        threads = _threads_of(command)
        before = {self._last[thread] for thread in threads if thread in self._last}
        if not threads and not isinstance(command, Cancel):
            # The last such command has waited for all before it, so what came since is enough.
            before, self._since = self._since, set()
        task = asyncio.create_task(self._carry_out(command, before))
        self._bytes += size
        task.add_done_callback(lambda _: self._took(size))
        for started in (self._commands, self._since):
            started.add(task)
            task.add_done_callback(started.discard)
        for thread in threads:
            self._last[thread] = task
            task.add_done_callback(partial(self._forget, thread))

    async def _carry_out(self, command: Command, before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        try:
            await self._service.carry_out(self._session, command, lambda ok: self._reply(command, ok))
        except CommandError as error:
            self._refuse(command, error)
        except Exception:
            log.exception("session %s: %s failed", self._session.id, type(command).__name__)
            self._refuse(command, _internal())

    def _took(self, size: int) -> None:
        self._bytes -= size

    def _forget(self, thread: str, done: asyncio.Task[None]) -> None:
        if self._last.get(thread) is done:
            del self._last[thread]

    def _reply(self, command: Command, ok: Struct) -> None:
        self._outbox.offer(self._connection.reply(command.id, ok))

    def _refuse(self, command: Command, error: CommandError) -> None:
        self._outbox.offer(self._connection.refuse(command.id, error))


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            log.error("serving a socket failed", exc_info=outcome)


def _threads_of(command: Command) -> set[str]:
    """The threads on which the command must keep its place."""
    threads = set()
    if isinstance(command, ThreadCommand):
        threads.add(command.thread)
    if isinstance(command, ThreadCreate) and command.thread is not None:
        threads.add(command.thread)
    if isinstance(command, ThreadFork) and command.new_thread is not None:
        threads.add(command.new_thread)
    return threads


def _too_many() -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"As many commands of this session wait for their reply as may: {COMMANDS_IN_FLIGHT}, or {BYTES_IN_FLIGHT} "
        "bytes of them. Wait for some of them.",
    )


def _internal() -> CommandError:
    return CommandError(ErrorCode.INTERNAL, "The server failed while it carried out the command. Its log says more.")
