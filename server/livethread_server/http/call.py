"""One request, checked: who asks, with what, and how it may be answered late.

It must never know what is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread_server.http.connection import Connection, gone
from livethread_server.http.sse import BEAT_SECONDS, EventStream, Parts, error_event
from livethread_server.session import Session

T = TypeVar("T")


def _everybody(session: Session) -> None:
    """Whoever likes may stay."""


class Call(Struct, frozen=True, kw_only=True):
    """``session`` is who asks, for this request alone: it ends once the answer is sent. ``path`` holds ids, ``query``
    and ``body`` are what the operation's types say.
    """

    request: Request
    session: Session
    connection: Connection
    path: Mapping[str, str] = {}
    query: Any = None
    body: Any = None
    beat: float = BEAT_SECONDS
    staying: Callable[[Session], None] = _everybody

    def stay(self) -> None:
        """To be called before anything is begun whose answer may take long. `CommandError` ``rate_limited`` where too
        many such are open."""
        self.staying(self.session)

    async def shut_out(self) -> CommandError:
        """Why who asked may stay no longer, as soon as that is so; however the server's own end is told."""
        code, reason = await self.session.outbox.ended()
        if code is not CloseCode.UNAUTHORIZED:
            await asyncio.Event().wait()
        return CommandError(ErrorCode.UNAUTHORIZED, reason)

    async def patiently(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of work that may take longer than a request usually may. It is cancelled when the client goes, and
        `ClientDisconnect` raised: let it; or when what let him in holds no more: `CommandError` ``unauthorized``."""
        try:
            self.stay()
        except CommandError:
            work.close()
            raise
        self.connection.lift()
        working, ending = asyncio.create_task(work), asyncio.create_task(self.shut_out())
        leaving = asyncio.create_task(gone(self.request.receive))
        try:
            await asyncio.wait((working, ending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise ending.result() if ending.done() else ClientDisconnect
        finally:
            for task in (working, ending, leaving):
                task.cancel()
            await asyncio.gather(working, ending, leaving, return_exceptions=True)

    def stream(
        self,
        parts: Parts,
        headers: Mapping[str, str] | None = None,
        on_error: Callable[[CommandError], bytes] = error_event,
    ) -> Response:
        """An answer of server-sent events; see `EventStream`."""
        self.stay()
        return EventStream(parts, self.connection, headers, beat=self.beat, on_error=on_error, shut_out=self.shut_out)
