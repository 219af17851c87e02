"""HTTP until a WebSocket is asked for, with bounds on heads, time, speed and open sockets.

It must never know what is answered.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from livethread_server.bounds import Bounds
from livethread_server.bucket import Bucket
from livethread_server.sockets.lingering import cut_off

USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
"""How long sent bytes may stay unacknowledged until the kernel gives a connection up (tcp(7)); Linux has it."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, but each request has a deadline, from its first byte to the last of its answer.

    Answers 431 to a head above ``head_bytes``, 503 where ``sockets`` are open already, both with the end of the
    connection. Whoever lets the deadline pass is cut off without an answer. What answers finds the protocol in the
    scope's state under ``connection``.
    """

    def __init__(self, *arguments: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._lifted = False
        self._head = 0
        self._in_head = True
        self._served: RequestResponseCycle | None = None
        self._rate = Bucket(bounds.message_rate, bounds.message_burst, self.loop.time())
        self.app_state = {**self.app_state, "connection": self}

    # What an answer needs of its connection

    def take(self) -> bool:
        """Whether one more request may be answered now; they may come as fast as a socket's commands."""
        return self._rate.take(1, self.loop.time()) >= 0

    def lift(self) -> None:
        """The request was read, and its answer takes as long as it takes: no deadline, but who does not read what is
        written is found within ``slow_seconds``."""
        self._lifted = True
        self._unexpect()
        if USER_TIMEOUT is not None:
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, int(self._bounds.pong_seconds * 1000))

    def abort(self) -> None:
        """Cut off: the connection and all that waits to be read are freed at once."""
        if not self.transport.is_closing():
            cut_off(self.transport)

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A socket was opened; silence on it counts as a request that is not made."""
        super().connection_made(transport)
        self._expect()
        if len(self.connections) > self._bounds.sockets:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "As many sockets are open as may be. Try again later.")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and all that waited for it."""
        self._unexpect()
        self._unstall()
        # uvicorn tells only the last of pipelined requests, and it is the first that is being answered.
        if self._served is not None and self._served is not self.cycle and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if self.transport.is_closing():
            return
        self._expect()
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self._bounds.head_bytes:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._in_head = False
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > self._bounds.head_bytes:
            raise ValueError("the head is too large")  # ends the parser, which ends in `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is there; what follows is the next one's head."""
        self._in_head, self._head = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as such."""
        if self._head > self._bounds.head_bytes:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """An answer is written; once it is read uvicorn waits a few seconds for another request."""
        self._unexpect()
        self._lifted = False
        if self.pipeline or not self._in_head or self.transport.get_write_buffer_size():
            self._expect()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the socket over; its handshake has a deadline of its own."""
        self._unexpect()
        del self.app_state["connection"]
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """More waits to be read than should."""
        super().pause_writing()
        if self._stalled is None:
            self._await_reading()

    def resume_writing(self) -> None:
        """Enough was read."""
        self._unstall()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _await_reading(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self._bounds.slow_seconds, self._look_at_reading, left)

    def _look_at_reading(self, left: int) -> None:
        """Cut off who has read nothing; other answers than lifted ones have their deadline."""
        if self._lifted and self.transport.get_write_buffer_size() >= left:
            cut_off(self.transport)
        else:
            self._await_reading()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _expect(self) -> None:
        if self._deadline is None and not self._lifted:
            self._deadline = self.loop.call_later(self._bounds.request_seconds, cut_off, self.transport)

    def _unexpect(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse_head(self) -> None:
        sentence = f"The request's head has more than {self._bounds.head_bytes} bytes. Send less."
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            head += f"content-length: {len(sentence)}\r\nconnection: close\r\n\r\n"
            self.transport.write((head + sentence).encode("ascii"))
            self.transport.close()
