"""Who looks at which thread, and who is typing there. Kept nowhere, told coalesced.

Sessions say so themselves, and it holds while they subscribe. It must never know what a thread holds.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from livethread.messages import Here, PresenceChanged
from livethread_server.hub import Hub
from livethread_server.session import Session

PAUSE = 0.5
"""Seconds between two tellings of one thread, at least."""
TYPING = 6.0
"""Seconds until somebody who said that he types does so no longer, unless he says it again."""
SHOWN = 100
"""How many of a crowd are named."""


class _Room:
    """Those who look at one thread, in the order in which they came."""

    def __init__(self) -> None:
        self.here: dict[Session, Here] = {}
        self.expiries: dict[Session, asyncio.TimerHandle] = {}
        self.telling: asyncio.TimerHandle | None = None


class Attendance:
    """Everybody who looks at any thread. ``pause`` and ``typing`` are seconds."""

    def __init__(self, hub: Hub, pause: float = PAUSE, typing: float = TYPING) -> None:
        self._hub = hub
        self._pause = pause
        self._typing = typing
        self._rooms: dict[str, _Room] = {}
        self._threads: dict[Session, set[str]] = {}

    def say(self, session: Session, thread: str, *, typing: bool) -> None:
        """A subscriber is there, typing or not. Saying the same again tells nobody."""
        if session.ended:
            return
        room = self._rooms.setdefault(thread, _Room())
        self._threads.setdefault(session, set()).add(thread)
        if typing:
            self._expire_later(room, session, thread)
        else:
            _stop(room.expiries.pop(session, None))
        self._put(room, session, thread, typing=typing)

    def show(self, session: Session, thread: str) -> None:
        """Tell a new subscriber who is there, if anybody is."""
        room = self._rooms.get(thread)
        if room is not None and room.here:
            self._hub.tell(_who(room, thread), (session.outbox,))

    def leave(self, session: Session, thread: str) -> None:
        """A session is there no longer, if it ever was."""
        room = self._rooms.get(thread)
        if room is None or room.here.pop(session, None) is None:
            return
        _stop(room.expiries.pop(session, None))
        self._forget(session, thread)
        self._tell_soon(room, thread)

    def leave_all(self, session: Session) -> None:
        """A session is nowhere any longer."""
        for thread in tuple(self._threads.get(session, ())):
            self.leave(session, thread)

    def expel(self, thread: str, principal: str) -> None:
        """No session of a principal is there any longer."""
        room = self._rooms.get(thread)
        for session in tuple(room.here) if room is not None else ():
            if session.principal.id == principal:
                self.leave(session, thread)

    def drop(self, thread: str) -> None:
        """A thread is gone, and nobody is to be told."""
        room = self._rooms.pop(thread, None)
        if room is None:
            return
        for handle in (room.telling, *room.expiries.values()):
            _stop(handle)
        for session in room.here:
            self._forget(session, thread)

    def _put(self, room: _Room, session: Session, thread: str, *, typing: bool) -> None:
        here = Here(session.id, session.principal.id, session.principal.name, typing)
        if room.here.get(session) != here:
            room.here[session] = here
            self._tell_soon(room, thread)

    def _expire_later(self, room: _Room, session: Session, thread: str) -> None:
        _stop(room.expiries.get(session))
        loop = asyncio.get_running_loop()
        room.expiries[session] = loop.call_later(self._typing, self._expire, room, session, thread)

    def _expire(self, room: _Room, session: Session, thread: str) -> None:
        del room.expiries[session]
        self._put(room, session, thread, typing=False)

    def _tell_soon(self, room: _Room, thread: str) -> None:
        if room.telling is None:
            room.telling = asyncio.get_running_loop().call_later(self._pause, self._tell, room, thread)

    def _tell(self, room: _Room, thread: str) -> None:
        room.telling = None
        self._hub.publish(_who(room, thread))
        if not room.here:
            del self._rooms[thread]

    def _forget(self, session: Session, thread: str) -> None:
        self._threads[session].discard(thread)
        if not self._threads[session]:
            del self._threads[session]


def _who(room: _Room, thread: str) -> PresenceChanged:
    return PresenceChanged(thread=thread, here=tuple(islice(room.here.values(), SHOWN)), total=len(room.here))


def _stop(handle: asyncio.TimerHandle | None) -> None:
    if handle is not None:
        handle.cancel()
