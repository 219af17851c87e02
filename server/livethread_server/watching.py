"""What those are told who watch all their threads: that one is new, is like this now, or is gone.

Changes are noted as they happen and told a moment later, each thread once and as it is then, so the last state
always comes. This module must never know commands, or how threads change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Set

from livethread.messages import DurableEvent, Event, ThreadChanged, ThreadCreated, ThreadGone, ThreadResidency
from livethread.model import Thread
from livethread_server.background import begin
from livethread_server.hub import Hub
from livethread_server.lanes import Lanes
from livethread_server.outbox import Outbox
from livethread_server.session import Session
from livethread_server.store.base import Store
from livethread_server.threads import Residencies

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds in which changes are gathered."""
BATCH = 500
"""How many threads the store is asked about at once."""

Readers = Callable[[Thread], Awaitable[frozenset[str]]]
"""Which principals, by their ids, may read a thread."""


class _Note:
    """What happened to a thread since it was last told of: is it new, to whom alone, and for whom is it gone."""

    def __init__(self) -> None:
        self.new = False
        self.new_to: set[str] = set()
        self.gone_for: set[str] = set()

    def then(self, later: _Note | None) -> _Note:
        """This one, with what happened ``later``."""
        if later is not None:
            self.new |= later.new
            self.new_to = self.new_to - later.gone_for | later.new_to
            self.gone_for = self.gone_for - later.new_to | later.gone_for
        return self


class Watching:
    """All sessions that watch, and all that they are to be told. ``pause`` is in seconds."""

    def __init__(
        self,
        store: Store,
        lanes: Lanes,
        hub: Hub,
        residencies: Residencies,
        readers: Readers,
        pause: float = PAUSE,
    ) -> None:
        self.readers = readers
        self._store = store
        self._lanes = lanes
        self._hub = hub
        self._residencies = residencies
        self._pause = pause
        self._watchers: dict[str, dict[Outbox, None]] = {}
        self._notes: dict[str, _Note] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def behind(self) -> bool:
        """Whether anybody is still to be told of anything."""
        return self._task is not None and not self._task.done()

    def add(self, session: Session) -> None:
        """From now on the session is told. Adding twice is adding once."""
        if not session.ended:
            self._watchers.setdefault(session.principal.id, {})[session.outbox] = None

    def remove(self, session: Session) -> None:
        """The session is told no more, if it ever was."""
        outboxes = self._watchers.get(session.principal.id, {})
        outboxes.pop(session.outbox, None)
        if not outboxes:
            self._watchers.pop(session.principal.id, None)

    def created(self, thread: str) -> None:
        """There is a new thread."""
        self._note(thread).new = True

    def changed(self, thread: str) -> None:
        """A thread is not what it was."""
        self._note(thread)

    def shared(self, thread: str, principal: str) -> None:
        """A principal may read a thread, which it perhaps could not before."""
        note = self._note(thread)
        note.new_to.add(principal)
        note.gone_for.discard(principal)

    def gone(self, thread: str, principals: Iterable[str]) -> None:
        """Principals that could read a thread no longer can: it was deleted, or is theirs no more."""
        note = self._note(thread)
        note.gone_for.update(principals)
        note.new_to.difference_update(principals)

    async def stop(self) -> None:
        """Tell nobody anything any more."""
        self._watchers.clear()
        self._notes.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def heard(self, event: Event) -> None:
        """An event is being told to subscribers: what it does to the thread is told here too."""
        if isinstance(event, DurableEvent | ThreadResidency):
            self.changed(event.thread)

    def _note(self, thread: str) -> _Note:
        if not self._watchers:
            return _Note()  # nobody is to be told
        note = self._notes.setdefault(thread, _Note())
        if self._task is None or self._task.done():
            self._task = begin(self._work(), log, "those who watch could not be told of changes")
        return note

    async def _work(self) -> None:
        while self._notes:
            await asyncio.sleep(self._pause)
            names = tuple(self._notes)[:BATCH]
            notes = {name: self._notes.pop(name) for name in names}
            try:
                await self._tell(notes)
            except BaseException:
                for name, note in notes.items():  # the next change has them told
                    self._notes[name] = note.then(self._notes.get(name))
                raise

    async def _tell(self, notes: dict[str, _Note]) -> None:
        threads = await self._threads(notes)
        for name, note in notes.items():
            thread = threads.get(name)
            readers = frozenset[str]() if thread is None else await self.readers(thread)
            self._tell_of(ThreadGone(thread=name), note.gone_for - readers)
            if thread is not None:
                summary = self._residencies.shown(thread)
                new_to = readers if note.new else readers & note.new_to
                self._tell_of(ThreadCreated(thread=name, summary=summary), new_to)
                self._tell_of(ThreadChanged(thread=name, summary=summary), readers - new_to)

    async def _threads(self, names: Iterable[str]) -> dict[str, Thread]:
        """Those of the threads that there are, as they are now."""
        held: dict[str, Thread] = {}
        asked: list[str] = []
        for name in names:
            lane = self._lanes.peek(name)
            if lane is not None and lane.loaded:
                held[name] = lane.thread
            else:
                asked.append(name)
        kept = await self._store.known(asked) if asked else ()
        return {thread.id: thread for thread in kept} | held

    def _tell_of(self, event: Event, principals: Set[str]) -> None:
        outboxes = [outbox for one in self._watchers.keys() & principals for outbox in self._watchers[one]]
        self._hub.tell(event, outboxes)
