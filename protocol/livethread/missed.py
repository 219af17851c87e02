"""What the readers of a copy have missed while their client was away, told as events that join on to those they had.

Pure. Where nobody knows what was missed, one event of the client's own says so. This module must never know
connections, clocks or who reads.
"""

from __future__ import annotations

from msgspec import UnsetType
from msgspec.structs import replace

from livethread.codec import to_event
from livethread.errors import ProtocolError
from livethread.messages import DurableEvent, Event, RunDelta, RunFinished, RunSnapshot, SubscribeOk
from livethread.model import Message, Thread
from livethread.resume import Replica, followed, given


class ThreadReplaced(Event, frozen=True, kw_only=True):
    """Never travels. The client was away for too long: its copy was replaced as a whole by ``value``, and the events
    between the two are not known. ``streaming`` is the run whose text the new copy holds so far.
    """

    value: Thread
    streaming: RunSnapshot | None = None


def holds(replica: Replica, event: Event) -> bool:
    """Whether a durable event is in the copy already."""
    return isinstance(event, DurableEvent) and event.seq <= replica.thread.seq


def written_by(thread: Thread, run: str | None) -> Message | None:
    """The newest message that a run wrote."""
    return next((one for one in reversed(thread.messages) if run is not None and one.run == run), None)


def text_of(replica: Replica) -> str:
    """The text so far of the run that streams."""
    message = written_by(replica.thread, replica.run)
    return message.content[replica.before :] if message else ""


def taken(replica: Replica, event: Event) -> Replica:
    """The copy after an event, one that never travels too. `ProtocolError` as `followed`."""
    if isinstance(event, ThreadReplaced):
        return replace(replica, thread=event.value, to=event.streaming.to if event.streaming else replica.to)
    return followed(replica, event)


def missed(replica: Replica, ok: SubscribeOk) -> tuple[Event, ...]:
    """What brings the copy to where the answer to a subscription since then is: events that join on.

    Text that was missed comes as one delta, before its run's end too. `ProtocolError` where the answer does not fit
    the copy.
    """
    events: list[Event] = []
    for plain in given(ok.events, ()):
        event = to_event(plain)
        if event is None or holds(replica, event):
            continue
        if isinstance(event, RunFinished) and (delta := _rest(replica, event.message)):
            events.append(delta)
        events.append(event)
        replica = followed(replica, event)
    if not isinstance(ok.run, UnsetType):
        events += _streamed(replica, ok.run)
    return tuple(events)


def replaced(replica: Replica, new: Thread, run: RunSnapshot | UnsetType) -> tuple[Event, ...]:
    """What to tell the readers of a copy that a new snapshot replaces: the text that joins on, and that it happened."""
    told: list[Event] = []
    snapshot = None if isinstance(run, UnsetType) else run
    if snapshot is not None and snapshot.run == replica.run:
        told += _joined(replica, snapshot) or ()
    elif (message := written_by(new, replica.run)) and (delta := _rest(replica, message)):
        told.append(delta)
    return (*told, ThreadReplaced(thread=new.id, value=new, streaming=snapshot))


def _streamed(replica: Replica, run: RunSnapshot) -> list[Event]:
    if run.run != replica.run:
        raise ProtocolError(f"Run {run.run} of thread {replica.thread.id} streams, but nobody told that it started.")
    joined = _joined(replica, run)
    if joined is not None:
        return joined
    if run.start > 0:
        raise ProtocolError(f"Run {run.run} goes on at token {run.start}, but {replica.to} have come.")
    messages = tuple(_with_text(one, replica, run) for one in replica.thread.messages)
    value = replace(replica.thread, messages=messages)
    return [ThreadReplaced(thread=value.id, value=value, streaming=run)]


def _with_text(message: Message, replica: Replica, run: RunSnapshot) -> Message:
    """The message, with the run's text instead of what had come of it where it is the run's."""
    if message.run != run.run:
        return message
    return replace(message, content=message.content[: replica.before] + run.text)


def _joined(replica: Replica, run: RunSnapshot) -> list[Event] | None:
    """The delta between what had come of a run and what there is; None where they do not join."""
    if run.start == replica.to:
        text = run.text
    elif run.start == 0 and run.to >= replica.to and run.text.startswith(text_of(replica)):
        text = run.text[len(text_of(replica)) :]
    else:
        return None
    if run.to == replica.to and not text:
        return []
    return [RunDelta(thread=replica.thread.id, run=run.run, start=replica.to, to=run.to, text=text)]


def _rest(replica: Replica, whole: Message) -> RunDelta | None:
    """What had not come of a run that is over; of its tokens only that there are more is known."""
    had = written_by(replica.thread, replica.run)
    if had is None or replica.run is None or whole.id != had.id or not whole.content.startswith(had.content):
        return None
    text = whole.content[len(had.content) :]
    to = max(replica.to + 1, whole.usage.completion_tokens if whole.usage else 0)
    return RunDelta(thread=replica.thread.id, run=replica.run, start=replica.to, to=to, text=text) if text else None
