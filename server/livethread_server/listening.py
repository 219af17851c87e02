"""The commands of those who listen: subscribe, unsubscribe, watch, presence; and the end of listening.

Nothing is awaited between what a reply shows, the reply and the subscription, so that no event falls in between. It
must never know how threads change.
"""

from __future__ import annotations

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.messages import (
    Empty,
    Presence,
    Subscribe,
    SubscribeOk,
    ThreadResidency,
    Unsubscribe,
    Watch,
)
from livethread.model import Thread
from livethread_server.acceptance import Answer
from livethread_server.attendance import Attendance
from livethread_server.hub import Hub
from livethread_server.lanes import Lane, Lanes
from livethread_server.resuming import rest
from livethread_server.roles import suffices
from livethread_server.session import Session
from livethread_server.store.base import Role, Store
from livethread_server.threads import Residencies, run_snapshot, snapshot
from livethread_server.watching import Watching


class Listening:
    """Who hears what: carries out the commands of listeners, and ends what they began."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: Lanes,
        hub: Hub,
        residencies: Residencies,
        watching: Watching,
        attendance: Attendance,
        subscriptions: int,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._hub = hub
        self._residencies = residencies
        self._watching = watching
        self._attendance = attendance
        self._subscriptions = subscriptions

    async def subscribe(self, session: Session, command: Subscribe, answer: Answer) -> None:
        """Tell a session of a thread from now on, behind the whole of it or behind what the client lacks."""
        async with self._lanes.hold(command.thread, session.principal) as lane:
            self._check_room(session, lane.id)
            ok = None
            if command.since is not None:
                ok = await rest(self._store, lane, command.since, session.outbox.codec)
            # Nothing is awaited from here on, so that no event falls between the snapshot and the rest. Who subscribes
            # already is told all the text so far before a reply says that it holds it.
            self._hub.flush(lane.id)
            answer(ok or self._whole(lane))
            if not session.ended:
                self._hub.add(lane.id, session.outbox)
                if ok is not None:  # where the context is has no seq: nobody knows whether that was missed
                    residency = self._residencies.of(lane.id)
                    self._hub.tell(ThreadResidency(thread=lane.id, residency=residency), (session.outbox,))
                self._attendance.show(session, lane.id)

    async def unsubscribe(self, session: Session, command: Unsubscribe, answer: Answer) -> None:
        """Tell a session no more of a thread."""
        self.end(session, command.thread)
        answer(Empty())

    async def watch(self, session: Session, command: Watch, answer: Answer) -> None:
        """Tell a session from now on of all threads that its principal may read."""
        answer(Empty())
        if not session.ended:
            self._watching.add(session)

    async def presence(self, session: Session, command: Presence, answer: Answer) -> None:
        """Note that a subscriber looks at a thread. `CommandError` ``bad_request`` where it is none."""
        async with self._lanes.hold(command.thread, session.principal, "participant") as lane:
            if lane.id not in self._hub.threads(session.outbox):
                raise bad_request("thread", f"This session does not subscribe to {lane.id!r}. Subscribe to it first.")
            answer(Empty())
            self._attendance.say(session, lane.id, typing=command.typing)

    def end(self, session: Session, thread: str) -> None:
        """A session's subscription to a thread ends, if there is one."""
        self._hub.remove(thread, session.outbox)
        self._attendance.leave(session, thread)

    def drop(self, thread: str, readers: frozenset[str]) -> None:
        """A thread is gone; ``readers`` are the principals that could read it."""
        self._hub.drop(thread)
        self._attendance.drop(thread)
        self._watching.gone(thread, readers)

    def shared(self, thread: Thread, principal: str, role: Role | None) -> None:
        """A principal has a role on a thread now; None where it may not even read it any more."""
        if not suffices(role, "participant"):
            self._attendance.expel(thread.id, principal)
        if role is None:
            self._watching.gone(thread.id, (principal,))
        else:
            self._watching.shared(thread.id, principal)

    def leave(self, session: Session) -> None:
        """A session ended: it hears nothing any more."""
        self._hub.leave(session.outbox)
        self._attendance.leave_all(session)
        self._watching.remove(session)

    def _check_room(self, session: Session, thread: str) -> None:
        known = self._hub.threads(session.outbox) | {thread}
        if len(known) > self._subscriptions:
            raise CommandError(
                ErrorCode.RATE_LIMITED,
                f"A session may subscribe to {self._subscriptions} threads. Unsubscribe from one first.",
                subscriptions=self._subscriptions,
            )

    def _whole(self, lane: Lane) -> SubscribeOk:
        thread, more = snapshot(self._residencies.shown(lane.thread), lane.turns)
        return SubscribeOk(
            epoch=thread.epoch,
            seq=thread.seq,
            version=thread.version,
            recovered=False,
            thread=thread,
            more=more,
            run=run_snapshot(lane),
        )
