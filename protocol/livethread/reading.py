"""A thread as a client reads it: the copy, and how far the text of its streaming run has come in it.

Pure. What a client needs to come back after its connection was cut: where it stands, and what it has missed, told
as events that join on to those it had. This module must never know connections, clocks or who is looking.
"""

from __future__ import annotations

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from livethread.codec import to_event
from livethread.errors import ProtocolError
from livethread.messages import (
    DurableEvent,
    Event,
    RunDelta,
    RunFinished,
    RunRecovered,
    RunSnapshot,
    RunStarted,
    Since,
    SubscribeOk,
)
from livethread.model import Message, Thread
from livethread.replica import apply, begin


class ThreadReplaced(Event, frozen=True, kw_only=True):
    """Never travels. The client was away for too long: its copy was replaced as a whole by ``value``, and events
    between the two are not known. ``streaming`` is the run whose text the new copy holds so far.
    """

    value: Thread
    streaming: RunSnapshot | None = None


class Reading(Struct, frozen=True):
    """The copy of a thread; the ``run`` that streams into it has come to token ``to``, and its message had ``base``
    characters before it.
    """

    thread: Thread
    run: str | None = None
    to: int = 0
    base: int = 0

    @property
    def since(self) -> Since:
        """Where the reader stands."""
        return Since(epoch=self.thread.epoch, seq=self.thread.seq, run=self.run, to=self.to)

    @property
    def text(self) -> str:
        """The text of the streaming run so far."""
        message = find(self.thread, run=self.run) if self.run is not None else None
        return message.content[self.base :] if message else ""

    def holds(self, event: Event) -> bool:
        """Whether a durable event is in the copy already."""
        return isinstance(event, DurableEvent) and event.seq <= self.thread.seq


def find(thread: Thread, *, message: str | None = None, run: str | None = None) -> Message | None:
    """The newest message of this id or of this run."""
    for one in reversed(thread.messages):
        if one.id == message or (run is not None and one.run == run):
            return one
    return None


def begun(thread: Thread, run: RunSnapshot | UnsetType) -> Reading:
    """What a snapshot gives to read."""
    copy = begin(thread, run)
    if isinstance(run, UnsetType):
        return Reading(copy)
    stored = find(thread, message=run.message)
    return Reading(copy, run.run, run.to, len(stored.content) if stored else 0)


def read(reading: Reading, event: Event) -> Reading:
    """The reading after an event. `ProtocolError` where events between the two are missing."""
    thread = apply(reading.thread, event)
    if isinstance(event, RunStarted):
        message = find(thread, message=event.message)
        return Reading(thread, event.run, 0, len(message.content) if message else 0)
    if isinstance(event, RunRecovered):
        return Reading(thread, event.run, event.to, len(event.content) - len(event.text))
    if isinstance(event, RunDelta) and event.run == reading.run:
        return replace(reading, thread=thread, to=event.to)
    if isinstance(event, ThreadReplaced):
        return replace(reading, thread=event.value, to=event.streaming.to if event.streaming else reading.to)
    if isinstance(event, RunFinished) and event.run == reading.run:
        return Reading(thread)
    return replace(reading, thread=thread)


def resumed(reading: Reading, ok: SubscribeOk) -> tuple[Event, ...]:
    """What the reader has missed, as the answer to a subscription since where it stood tells it.

    Text that was missed comes as one delta that joins on, before its run's end too. `ProtocolError` where the answer
    does not join on.
    """
    missed: list[Event] = []
    for plain in () if isinstance(ok.events, UnsetType) else ok.events:
        event = to_event(plain)
        if event is None or reading.holds(event):
            continue
        if isinstance(event, RunFinished) and (delta := _rest(reading, event.message)):
            missed.append(delta)
        missed.append(event)
        reading = read(reading, event)
    if not isinstance(ok.run, UnsetType):
        missed += _streamed(reading, ok.run)
    return tuple(missed)


def replaced(reading: Reading, new: Reading, run: RunSnapshot | UnsetType) -> tuple[Event, ...]:
    """What to tell readers of a copy that a new snapshot replaces: the text it joins on with, and that it happened."""
    told: list[Event] = []
    snapshot = None if isinstance(run, UnsetType) else run
    if snapshot is not None and snapshot.run == reading.run:
        told += _joined(reading, snapshot) or ()
    elif reading.run is not None and (message := find(new.thread, run=reading.run)):
        delta = _rest(reading, message)
        told += [delta] if delta else []
    return (*told, ThreadReplaced(thread=new.thread.id, value=new.thread, streaming=snapshot))


def _streamed(reading: Reading, run: RunSnapshot) -> list[Event]:
    if run.run != reading.run:
        raise ProtocolError(f"Run {run.run} of thread {reading.thread.id} streams, but nobody told that it started.")
    joined = _joined(reading, run)
    if joined is not None:
        return joined
    if run.start > 0:
        raise ProtocolError(f"Run {run.run} goes on at token {run.start}, but {reading.to} have come.")
    value = replace(reading.thread, messages=tuple(_with_text(one, reading, run) for one in reading.thread.messages))
    return [ThreadReplaced(thread=value.id, value=value, streaming=run)]


def _with_text(message: Message, reading: Reading, run: RunSnapshot) -> Message:
    """The message, with the run's text instead of what was read of it where it is the run's."""
    if message.run != run.run:
        return message
    return replace(message, content=message.content[: reading.base] + run.text)


def _joined(reading: Reading, run: RunSnapshot) -> list[Event] | None:
    """The delta between what was read of a run and what there is; None where they do not join."""
    if run.start == reading.to:
        text = run.text
    elif run.start == 0 and run.to >= reading.to and run.text.startswith(reading.text):
        text = run.text[len(reading.text) :]
    else:
        return None
    if run.to == reading.to and not text:
        return []
    return [RunDelta(thread=reading.thread.id, run=run.run, start=reading.to, to=run.to, text=text)]


def _rest(reading: Reading, whole: Message) -> RunDelta | None:
    """What was not read of a run that is over; its tokens are only known to be more."""
    had = find(reading.thread, run=reading.run) if reading.run is not None else None
    if had is None or whole.id != had.id or not whole.content.startswith(had.content):
        return None
    text = whole.content[len(had.content) :]
    to = max(reading.to + 1, whole.usage.completion_tokens if whole.usage else 0)
    if not text or reading.run is None:
        return None
    return RunDelta(thread=reading.thread.id, run=reading.run, start=reading.to, to=to, text=text)
