"""The gate: lets sessions in, knows who is in, and shows them out when what let them in holds no more.

It must never know how a token is checked, nor what anybody may do inside.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from livethread.errors import CloseCode, CommandError
from livethread.model import Principal
from livethread_server.auth.admission import TOKEN_CHARACTERS, Admission, Authenticator, unauthorized
from livethread_server.background import begin
from livethread_server.session import ANYONE, Session

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long a revoked token may go on to be worth something."""


class Gate:
    """All sessions that came in. Without an authenticator everybody does, as whoever the session is."""

    def __init__(self, auth: Authenticator | None = None) -> None:
        self._auth = auth
        self._inside: dict[str, set[Session]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def required(self) -> bool:
        """Whether one must say who one is."""
        return self._auth is not None

    async def admit(self, session: Session, token: str | None, *, level: int = logging.INFO) -> None:
        """Let a session in as who brings the token. `CommandError` ``unauthorized``; the session stays as it was.
        ``level`` is that of the log's line where it goes well."""
        if self._auth is not None:
            try:
                admission = await self._admission(token)
            except CommandError as error:
                log.info("session %s is not let in: %s", session.id, error.message)
                raise
            log.log(level, "session %s is %r", session.id, admission.principal.id)
            self.leave(session)
            session.principal, session.admission = admission.principal, admission
        self.enter(session)

    async def check(self, token: str | None) -> Principal:
        """Who brings a token with one request. `CommandError` ``unauthorized``."""
        return ANYONE if self._auth is None else (await self._admission(token)).principal

    def enter(self, session: Session) -> None:
        """The session is in, unless it has ended meanwhile. Entering twice is entering once."""
        if not session.ended:
            self._inside.setdefault(session.principal.id, set()).add(session)
            if self._auth is not None and (self._looking is None or self._looking.done()):
                self._looking = begin(self._look(), log, "looking after who is in failed")

    def leave(self, session: Session) -> None:
        """The session is out, if it ever was in."""
        inside = self._inside.get(session.principal.id, set())
        inside.discard(session)
        if not inside:
            self._inside.pop(session.principal.id, None)

    def inside(self, principal: str) -> Iterable[Session]:
        """The sessions of a principal."""
        return tuple(self._inside.get(principal, ()))

    async def stop(self) -> None:
        """Look after nobody any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _admission(self, token: str | None) -> Admission:
        assert self._auth is not None
        if not token:
            raise unauthorized("This server must know who you are. Bring a token.")
        if len(token) > TOKEN_CHARACTERS:
            raise unauthorized(f"A token has at most {TOKEN_CHARACTERS} characters. Bring a shorter one.")
        return await self._auth.admit(token)

    def _holds(self, session: Session) -> bool:
        return self._auth is None or session.admission is None or self._auth.holds(session.admission)

    async def _look(self) -> None:
        """Close the sessions whose token has expired, to the moment, or was revoked, a moment later."""
        assert self._auth is not None
        while True:
            await asyncio.sleep(self._pause())
            self._auth.refresh()
            gone = [session for inside in self._inside.values() for session in inside if not self._holds(session)]
            for session in gone:
                log.info("session %s ends: its token has expired or was revoked", session.id)
                reason = "The token has expired or was revoked. Connect again with a new one."
                session.outbox.close(CloseCode.UNAUTHORIZED, reason)
                self.leave(session)

    def _pause(self) -> float:
        now = time.time()
        admissions = (session.admission for inside in self._inside.values() for session in inside)
        ends = (one.expires - now for one in admissions if one is not None and one.expires is not None)
        return min((left for left in ends if 0 < left < LOOK_SECONDS), default=LOOK_SECONDS)
