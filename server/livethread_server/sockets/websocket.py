"""One WebSocket that gets rid of whoever does not answer, does not read, or sends too much.

Its session finds it in the scope's state under ``socket`` and writes to it without waiting. Whoever gets events must
answer a ping within `Bounds.slow_seconds` of reading it: that, unlike bytes that the kernel takes, proves that somebody
reads. It must never know what frames mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from struct import pack
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from livethread.errors import CloseCode
from livethread_server.bounds import FRAMES_PER_MESSAGE, Bounds
from livethread_server.bucket import Bucket
from livethread_server.sockets.lingering import LingeringTransport

BUFFER_BYTES = 64 << 10
"""From this many bytes on that the transport could not give to the kernel, nothing more is written."""
SLICE_BYTES = 16 << 10
"""How much is parsed at once: too many frames are noticed before the next slice."""
PROBE_SECONDS = 0.4
"""How old the last pong may be when something is sent, in parts of `Bounds.slow_seconds`."""
ABANDON_SECONDS = 1.0
"""How long a close frame may take to be read by somebody who reads nothing."""
REASON_BYTES = 123
"""The longest reason a close frame can hold (RFC 6455, 5.5)."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with bounds. ``ready`` says whether more should be written; ``on_ready`` is called when it is
    again."""

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.on_ready: Callable[[], None] = _nobody
        self.conn = _Conn(extensions=[], max_size=self.config.ws_max_size, logger=self.logger)
        self.close_timeout = bounds.close_seconds
        self.ping_interval = bounds.ping_seconds
        self.ping_timeout = bounds.pong_seconds
        self._bounds = bounds
        rate, burst = bounds.message_rate * FRAMES_PER_MESSAGE, bounds.message_burst * FRAMES_PER_MESSAGE
        self._frames = Bucket(rate, burst, self.loop.time())
        self._flooded = False
        self._handshake: asyncio.TimerHandle | None = None
        self._pong = b""
        self._written = self._taken = self._mark = 0
        self._due = 0.0
        self._pong_at = self.loop.time()  # whoever makes a handshake is there
        self._probing = self._soon = False

    # What a session needs of its socket

    @property
    def ready(self) -> bool:
        """Whether the transport's buffer has room."""
        return self.writable.is_set()

    def write(self, frames: Iterable[str | bytes]) -> None:
        """Send whole messages, text or binary, without waiting. Whatever comes too late goes nowhere."""
        if self.conn.state is State.OPEN and not self.disconnected:
            data = b"".join(map(framed, frames))
            self._written += len(data)
            self.transport.write(data)
            self._probe()

    def close(self, code: int, reason: str, seconds: float | None = None) -> None:
        """Say goodbye behind what was written. Who has not answered ``seconds`` later (`Bounds.close_seconds`) is cut
        off."""
        if self.close_sent or self.conn.state is not State.OPEN or self.transport.is_closing():
            return
        self.stop_keepalive()
        reason = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout if seconds is None else seconds, self.abort)

    def abort(self) -> None:
        """Cut off: the socket and all that waits in it are freed at once."""
        if not self.disconnected:
            self.transport.abort()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake begins."""
        raw = cast(asyncio.Transport, transport)
        raw.set_write_buffer_limits(high=BUFFER_BYTES)
        super().connection_made(cast(asyncio.Transport, LingeringTransport(raw, self.loop, self._bounds.close_seconds)))
        self.app_state = {**self.app_state, "socket": self}
        self._handshake = self.loop.call_later(self._bounds.request_seconds, self._handshake_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._handshake is not None:
            self._handshake.cancel()
        self.on_ready = _nobody
        cast(LingeringTransport, self.transport).lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came in; what comes behind too many frames is not looked at."""
        for start in range(0, len(data), SLICE_BYTES):
            if self._flooded or self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.close()

    def eof_received(self) -> None:
        """The peer sends nothing more, so there is nobody to talk to."""
        self.transport.close()

    def resume_writing(self) -> None:
        """The transport has room again."""
        super().resume_writing()
        if self._pong:
            self.transport.write(self._pong)
            self._pong = b""
        self.on_ready()

    # Frames

    def handle_events(self) -> None:
        """Count what came before it is looked at."""
        if self._frames.take(len(self.conn.events), self.loop.time()) >= 0:
            super().handle_events()
        else:
            self._flooded = True
            self.close(CloseCode.RATE, "Too many frames came at once. Send fewer, larger ones.", ABANDON_SECONDS)
            self.transport.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        """Put fragments together as they come: a million empty ones take no room."""
        if not isinstance(self.frames[0], bytearray):
            self.frames = [cast(bytes, bytearray(self.frames[0]))]
        self.frames[0] += event.data
        if event.fin:
            self.frames = [bytes(self.frames[0])]
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, but somebody who does not read only the last time (RFC 6455, 5.5.3)."""
        pongs = self.conn.data_to_send()
        if self.ready:
            self.transport.write(b"".join(pongs))
        elif pongs:
            self._pong = pongs[-1]

    # Signs of life

    def _probe(self) -> None:
        """Something was sent: see to it that it is soon known whether it is read."""
        now, slow = self.loop.time(), self._bounds.slow_seconds
        if self.pending_ping_payload is not None:
            if self._due > now + slow:
                self._await_pong(now, slow)
        elif not self._soon:
            self._soon = True
            if self.ping_timer is not None:
                self.ping_timer.cancel()
            delay = max(0.0, self._pong_at + slow * PROBE_SECONDS - now)
            self.ping_timer = self.loop.call_later(delay, self.send_keepalive_ping)

    def send_keepalive_ping(self) -> None:
        """Ask for a sign of life, and remember what had been read by then."""
        super().send_keepalive_ping()
        now, self._mark, self._taken = self.loop.time(), self._written, self._read()
        self._due, self._probing = now + self._bounds.pong_seconds, False
        if self._soon and self.pending_ping_payload is not None:
            self._await_pong(now, self._bounds.slow_seconds)

    def handle_pong(self, event: Frame) -> None:
        """Somebody is there, and has read all that was written before the ping."""
        awaited = self.pending_ping_payload is not None
        super().handle_pong(event)
        if awaited and self.pending_ping_payload is None:
            self._pong_at, self._soon = self.loop.time(), False
            if self._written > self._mark:
                self._probe()

    def keepalive_timeout(self) -> None:
        """No pong. As long as the ping itself could not get out, what the peer takes is a sign of life too."""
        taken = self._read()
        if self._taken < self._mark and taken > self._taken:
            self._taken = taken
            self._await_pong(self.loop.time(), self._bounds.slow_seconds)
        elif self._probing:
            sentence = f"nothing was read for {self._bounds.slow_seconds:g} seconds"
            self.close(CloseCode.SLOW, sentence, ABANDON_SECONDS)
        else:
            sentence = f"no pong came within {self._bounds.pong_seconds:g} seconds"
            self.close(CloseCode.NO_PONG, sentence, ABANDON_SECONDS)

    def _await_pong(self, now: float, seconds: float) -> None:
        if self.pong_timer is not None:
            self.pong_timer.cancel()
        self._due, self._probing = now + seconds, True
        self.pong_timer = self.loop.call_later(seconds, self.keepalive_timeout)

    def _read(self) -> int:
        """How many of the bytes written the kernel has taken."""
        return self._written - self.transport.get_write_buffer_size()

    def _handshake_late(self) -> None:
        self._handshake = None
        if not self.handshake_complete:
            self.abort()


class _Conn(ServerProtocol):
    """websockets' state machine, for which a close between fragments is a close (RFC 6455, 5.4 and 5.5.1)."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


def framed(message: str | bytes) -> bytes:
    """A whole message as the bytes of one frame from a server: no mask, no extension (RFC 6455, 5.2).

    websockets' own `Frame` takes five times as long, which counts with ten thousand a second.
    """
    opcode, payload = (0x81, message.encode()) if isinstance(message, str) else (0x82, message)
    size = len(payload)
    if size < 126:
        return pack("!BB", opcode, size) + payload
    if size < 1 << 16:
        return pack("!BBH", opcode, 126, size) + payload
    return pack("!BBQ", opcode, 127, size) + payload


def _nobody() -> None:
    """Nobody waits."""
