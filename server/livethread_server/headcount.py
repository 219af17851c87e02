"""How many sessions each principal has open, at whichever door they came in.

It must never know what becomes of one too many.
"""

from __future__ import annotations

from collections import Counter

from livethread_server.session import Session


class Headcount:
    """Counts sessions by principal, of which each may have ``most``."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._sessions: Counter[str] = Counter()

    def enter(self, session: Session) -> bool:
        """Whether there is room for a session whose principal is known, or was when it was counted: then it is, once.
        One too many is not counted, so that it takes nothing from those who are in."""
        if not session.counted:
            if self._sessions[session.principal.id] >= self.most:
                return False
            session.counted = True
            self._sessions[session.principal.id] += 1
        return True

    def leave(self, session: Session) -> None:
        """The session has ended, if it ever was counted."""
        if session.counted:
            session.counted = False
            self._sessions[session.principal.id] -= 1
            if not self._sessions[session.principal.id]:
                del self._sessions[session.principal.id]

    def __len__(self) -> int:
        return self._sessions.total()
