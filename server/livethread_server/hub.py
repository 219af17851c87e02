"""Fan-out: who listens to which thread.

An event is encoded once per encoding and offered to every subscriber's outbox; nobody waits for anybody.
The hub must never know what a thread is, where it is stored, or how a socket is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from livethread.codec import Frame
from livethread.messages import Event, RunDelta
from livethread_server.outbox import Outbox


def _ignore(event: Event) -> None:
    """Nobody listens to everything."""


class Hub:
    """Which outboxes want the events of which thread. Assign ``on_event`` to hear of all that is published."""

    def __init__(self) -> None:
        self._outboxes: dict[str, dict[Outbox, None]] = {}
        self._threads: dict[Outbox, set[str]] = {}
        self.on_event: Callable[[Event], None] = _ignore

    def add(self, thread: str, outbox: Outbox) -> None:
        """From now on ``outbox`` gets the events of ``thread``. Adding twice is adding once."""
        self._outboxes.setdefault(thread, {})[outbox] = None
        self._threads.setdefault(outbox, set()).add(thread)

    def remove(self, thread: str, outbox: Outbox) -> None:
        """``outbox`` no longer gets the events of ``thread``, if it ever did."""
        outboxes = self._outboxes.get(thread)
        if outboxes is not None:
            outboxes.pop(outbox, None)
            self._forget(thread, outbox)
            if not outboxes:
                del self._outboxes[thread]

    def drop(self, thread: str) -> None:
        """Nobody gets events of ``thread`` any more."""
        for outbox in self._outboxes.pop(thread, ()):
            self._forget(thread, outbox)

    def leave(self, outbox: Outbox) -> None:
        """``outbox`` gets no more events at all."""
        for thread in self.threads(outbox):
            self.remove(thread, outbox)

    def threads(self, outbox: Outbox) -> frozenset[str]:
        """The threads whose events ``outbox`` gets."""
        return frozenset(self._threads.get(outbox, ()))

    def heard(self, thread: str) -> bool:
        """Whether anybody gets the events of ``thread``."""
        return thread in self._outboxes

    def publish(self, event: Event) -> None:
        """Offer ``event`` to every subscriber of its thread."""
        self.on_event(event)
        self.tell(event, self._outboxes.get(event.thread, ()))

    def tell(self, event: Event, outboxes: Iterable[Outbox]) -> None:
        """Offer ``event`` to these outboxes, whether they subscribe to its thread or not."""
        frames: dict[str, Frame] = {}
        delta = event if isinstance(event, RunDelta) else None
        for outbox in outboxes:
            codec = outbox.codec
            frame = frames.get(codec.subprotocol)
            if frame is None:
                frame = frames[codec.subprotocol] = codec.encode(event)
            outbox.offer(frame, delta)

    def _forget(self, thread: str, outbox: Outbox) -> None:
        threads = self._threads.get(outbox, set())
        threads.discard(thread)
        if not threads:
            self._threads.pop(outbox, None)
