"""Fan-out: who listens to which thread.

An event is encoded once per encoding and offered to every subscriber's outbox; nobody waits for anybody. The more
subscribers a thread has, the more of a run's deltas go out as one. The hub must never know what a thread is, where it
is stored, or how a socket is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from livethread.codec import Frame
from livethread.messages import Event, RunDelta
from livethread_server.deltas import joined, touch
from livethread_server.outbox import Outbox

T = TypeVar("T")

FEW, CROWD = 8, 1000
CROWD_SECONDS = 0.1


def tick(subscribers: int) -> float:
    """Seconds for which a thread's deltas are put together: none for a `FEW`, `CROWD_SECONDS` for a `CROWD`, and in
    proportion between and above, so that the frames a second stay about as many."""
    return max(0.0, (subscribers - FEW) / (CROWD - FEW)) * CROWD_SECONDS


class _Pause:
    """The time until a thread's next delta may go out, and the deltas that wait for that."""

    __slots__ = ("deltas", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.timer = timer
        self.deltas: list[RunDelta] = []


def _ignore(event: Event) -> None:
    """Nobody listens to everything."""


def each(listeners: Iterable[Callable[[T], None]]) -> Callable[[T], None]:
    """All of these listeners as one."""
    all_of_them = tuple(listeners)

    def heard(event: T) -> None:
        for listener in all_of_them:
            listener(event)

    return heard


class Hub:
    """Which outboxes want the events of which thread. Assign ``on_event`` to hear of all that is published
    but deltas."""

    def __init__(self) -> None:
        self._outboxes: dict[str, dict[Outbox, None]] = {}
        self._threads: dict[Outbox, set[str]] = {}
        self._pauses: dict[str, _Pause] = {}
        self.on_event: Callable[[Event], None] = _ignore

    def add(self, thread: str, outbox: Outbox) -> None:
        """From now on ``outbox`` gets the events of ``thread``, and nothing that was published before. Adding twice is
        adding once."""
        self.flush(thread)
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
                self._end_pause(thread)

    def drop(self, thread: str) -> None:
        """Nobody gets events of ``thread`` any more."""
        self.flush(thread)
        self._end_pause(thread)
        for outbox in self._outboxes.pop(thread, ()):
            self._forget(thread, outbox)

    def leave(self, outbox: Outbox) -> None:
        """``outbox`` gets no more events at all."""
        for thread in self.threads(outbox):
            self.remove(thread, outbox)

    def threads(self, outbox: Outbox) -> frozenset[str]:
        """The threads whose events ``outbox`` gets."""
        return frozenset(self._threads.get(outbox, ()))

    @property
    def subscriptions(self) -> int:
        """How many there are, of all outboxes to all threads."""
        return sum(map(len, self._outboxes.values()))

    def heard(self, thread: str) -> bool:
        """Whether anybody gets the events of ``thread``."""
        return thread in self._outboxes

    def publish(self, event: Event) -> None:
        """Offer ``event`` to every subscriber of its thread: at once, or for a delta in a crowd a little later, but
        always before whatever is published behind it."""
        if not isinstance(event, RunDelta):
            self.on_event(event)
        outboxes = self._outboxes.get(event.thread)
        if not outboxes:
            return
        if isinstance(event, RunDelta) and (seconds := tick(len(outboxes))):
            self._pace(event, seconds)
        else:
            self.flush(event.thread)
            self._tell_all(event)

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

    def flush(self, thread: str) -> None:
        """Offer what waits of a thread. To be called before a subscriber is told a snapshot, which holds all of it."""
        pause = self._pauses.get(thread)
        if pause is not None and pause.deltas:
            deltas, pause.deltas = pause.deltas, []
            self._tell_all(joined(deltas))

    def _pace(self, delta: RunDelta, seconds: float) -> None:
        pause = self._pauses.get(delta.thread)
        if pause is None:
            self._pauses[delta.thread] = _Pause(self._later(seconds, delta.thread))
        elif delta.start and (not pause.deltas or touch(pause.deltas[-1], delta)):
            pause.deltas.append(delta)
            return
        self.flush(delta.thread)
        self._tell_all(delta)  # the first token of a run, or the first after a silence

    def _tick(self, thread: str) -> None:
        pause = self._pauses[thread]
        if pause.deltas:
            pause.timer = self._later(tick(len(self._outboxes[thread])), thread)
            self.flush(thread)
        else:
            del self._pauses[thread]

    def _later(self, seconds: float, thread: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._tick, thread)

    def _end_pause(self, thread: str) -> None:
        pause = self._pauses.pop(thread, None)
        if pause is not None:
            pause.timer.cancel()

    def _tell_all(self, event: Event) -> None:
        self.tell(event, self._outboxes[event.thread])

    def _forget(self, thread: str, outbox: Outbox) -> None:
        threads = self._threads.get(outbox, set())
        threads.discard(thread)
        if not threads:
            self._threads.pop(outbox, None)
