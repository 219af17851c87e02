"""The HTTP door: who asks with a request, and the requests that are being answered.

Every request is a session of its own, let in by its token. It must never know what is asked for.
"""

from __future__ import annotations

import logging

from starlette.requests import Request

from livethread.codec import JsonCodec
from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread_server.bounds import Bounds
from livethread_server.headcount import Headcount
from livethread_server.outbox import Outbox
from livethread_server.service import Service
from livethread_server.session import Session


class HttpDoor:
    """All requests under way. ``instance`` names this start of the server in every answer."""

    def __init__(self, service: Service, bounds: Bounds, instance: str, headcount: Headcount | None = None) -> None:
        self.service = service
        self.bounds = bounds
        self.instance = instance
        self._codec = JsonCodec()
        self._open: set[Session] = set()
        self._closed: tuple[CloseCode, str] | None = None
        self._staying = Headcount(bounds.sessions_per_principal) if headcount is None else headcount

    @property
    def sessions(self) -> int:
        """How many requests are being answered."""
        return len(self._open)

    def enter(self) -> Session:
        """A request came in. Call `leave` once it is answered."""
        session = Session(Outbox(self._codec, self.bounds.outbox_bytes))
        if self._closed is not None:
            session.outbox.close(*self._closed)
        self._open.add(session)
        return session

    async def let_in(self, session: Session, request: Request) -> None:
        """The session is whose token the request brings, ``Authorization: Bearer`` (RFC 6750, 2.1), where the server
        wants one. `CommandError` ``unauthorized``."""
        if self.service.gate.required:
            await self.service.gate.admit(session, _bearer(request), level=logging.DEBUG)

    def stay(self, session: Session) -> None:
        """The request takes its time, so it counts as open. `CommandError` ``rate_limited`` where too much is."""
        if not self._staying.enter(session):
            raise CommandError(
                ErrorCode.RATE_LIMITED,
                f"You have {self._staying.most} sessions and requests that wait or stream open. Close one of them.",
                sessions=self._staying.most,
            )

    def leave(self, session: Session) -> None:
        """The request was answered, or its client has gone."""
        self._open.discard(session)
        self._staying.leave(session)
        self.service.leave(session)

    def close_all(self, code: CloseCode, reason: str) -> None:
        """Whoever is being told of events is told no more, nor is who comes later."""
        self._closed = (code, reason)
        for session in self._open:
            session.outbox.close(code, reason)


def _bearer(request: Request) -> str | None:
    """The token of a request; None where it brings none, or several."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None
