"""A client's live copy of one thread, and everybody here who reads what happens to it.

Events come in the order of the connection. When the connection was cut and is back, what was missed is told as if
it came late. This module must never know sockets or how commands are sent.
"""

from __future__ import annotations

from msgspec import UnsetType
from msgspec.structs import replace

from livethread.errors import CommandError, ErrorCode, LivethreadError
from livethread.feed import Feed
from livethread.messages import Event, Here, PresenceChanged, RunSnapshot, Since, SubscribeOk, ThreadDeleted, ThreadGone
from livethread.missed import ThreadReplaced, holds, missed, replaced, taken
from livethread.model import Thread
from livethread.replica import begin
from livethread.resume import Replica, joined, since_of


class LiveCopy:
    """``attached`` from the first answer to a subscription until nothing more comes, cuts included."""

    def __init__(self) -> None:
        self.replica: Replica | None = None
        self.more = False
        self.attached = False
        self.here: tuple[Here, ...] = ()
        self.feeds: set[Feed] = set()
        self.streams: dict[str, Feed] = {}
        """Feeds of the events of one run, by the run."""
        self._astray = False

    @property
    def value(self) -> Thread | None:
        """The copy; None where there is none yet."""
        return self.replica.thread if self.replica else None

    @property
    def since(self) -> Since | None:
        """Where the copy stands, while it is live. Where the last answer to this did not fit, it is in no epoch: so
        the server tells the whole thread."""
        if self.replica is None or not self.attached:
            return None
        since = since_of(self.replica)
        return replace(since, epoch="") if self._astray else since

    def show(self, thread: Thread, run: RunSnapshot | UnsetType, more: bool) -> None:
        """This is the newest that is known, unless the copy is live."""
        if not self.attached:
            self.replica, self.more = Replica(begin(thread, run)), more

    def subscribed(self, ok: SubscribeOk) -> None:
        """A subscription was answered: the first, or one that takes up where the copy stands. `ProtocolError` where
        the answer does not fit."""
        if ok.recovered and self.attached and self.replica is not None:
            self._astray = True  # until all of it was taken
            for event in missed(self.replica, ok):
                self.take(event)
        else:
            self._replace(joined(ok), ok)
        self._astray = False

    def take(self, event: Event) -> None:
        """Apply an event and pass it on to whoever reads. `ProtocolError` where one is missing before it."""
        if not self.attached or self.replica is None or holds(self.replica, event):
            return
        if isinstance(event, ThreadGone):  # where it was deleted, that was told before, and nothing is attached
            self.detach(CommandError(ErrorCode.NOT_FOUND, "You may read this thread no more. Ask its owner."))
            return
        self.replica = taken(self.replica, event)
        if isinstance(event, PresenceChanged):
            self.here = event.here
        self._tell(event)
        if isinstance(event, ThreadDeleted):
            self.detach(None)

    def detach(self, error: LivethreadError | None) -> None:
        """Nothing more comes; readers get ``error`` when they have read what came before it."""
        self.attached, self.here = False, ()
        for feed in (*self.feeds, *self.streams.values()):
            feed.end(error)

    def _replace(self, new: Replica, ok: SubscribeOk) -> None:
        events = replaced(self.replica, new.thread, ok.run) if self.attached and self.replica else ()
        self.replica, self.attached, self.more = new, True, ok.more is True
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for feed in self.feeds:
            feed.offer(event)
        if isinstance(event, ThreadReplaced):
            for feed in self.streams.values():
                feed.offer(event)
        elif (found := self.streams.get(getattr(event, "run", ""))) is not None:
            found.offer(event)
