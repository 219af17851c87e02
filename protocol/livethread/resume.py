"""A client's copy of a thread that can come back: what it holds, how far it has come, and what it lacked meanwhile.

Pure. A copy that was cut off anywhere and resumed is the copy that never was. This module must never know
connections, clocks or who is looking.
"""

from __future__ import annotations

from typing import TypeVar

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

T = TypeVar("T")


class Replica(Struct, frozen=True):
    """``thread`` as this client shows it. While ``run`` streams into it, the text is there up to the run's token
    ``to``, behind the first ``before`` characters of the message, which are older than the run.
    """

    thread: Thread
    run: str | None = None
    to: int = 0
    before: int = 0


def joined(ok: SubscribeOk) -> Replica:
    """The copy that a subscription begins with. `ProtocolError` where the reply does not hold the whole thread."""
    if isinstance(ok.thread, UnsetType):
        raise ProtocolError("The server answered a subscription without its thread.")
    if isinstance(ok.run, UnsetType):
        return Replica(ok.thread)
    before = _length(_message(ok.thread, ok.run.message))
    return Replica(begin(ok.thread, ok.run), ok.run.run, ok.run.to, before)


def followed(replica: Replica, event: Event) -> Replica:
    """The copy after an event. A durable event that it holds already changes nothing.

    `ProtocolError` where something between the two is missing: subscribe again, with `since_of` the copy.
    """
    if isinstance(event, DurableEvent) and event.seq <= replica.thread.seq:
        return replica
    if isinstance(event, RunDelta) and (event.run, event.start) != (replica.run, replica.to):
        raise ProtocolError(
            f"Run {event.run} goes on at token {event.start}, but the text of {replica.run} is here up to token "
            f"{replica.to}. Subscribe again."
        )
    return _moved(replace(replica, thread=apply(replica.thread, event)), event)


def since_of(replica: Replica) -> Since:
    """How far the copy has come: what to subscribe with after the connection was lost."""
    return Since(epoch=replica.thread.epoch, seq=replica.thread.seq, run=replica.run, to=replica.to)


def resumed(replica: Replica, ok: SubscribeOk) -> Replica:
    """The copy after a subscription with `since_of` it: caught up, or begun anew where the server could not say what
    it lacked. `ProtocolError` where the reply does not fit the copy: subscribe again, without ``since``.
    """
    if not ok.recovered:
        return joined(ok)
    for plain in given(ok.events, ()):
        event = to_event(plain)
        if event is not None:
            replica = followed(replica, event)
    thread = replica.thread
    if (thread.epoch, thread.seq) != (ok.epoch, ok.seq):
        raise ProtocolError(f"The server says that thread {thread.id} is at seq {ok.seq}, but told up to {thread.seq}.")
    return replica if isinstance(ok.run, UnsetType) else _caught_up(replica, ok.run)


def given(value: T | UnsetType, otherwise: T) -> T:
    """A field of a reply, or what stands for its absence."""
    return otherwise if isinstance(value, UnsetType) else value


def _moved(replica: Replica, event: Event) -> Replica:
    """The copy, which has taken the event in, with the new position in the run that streams."""
    if isinstance(event, RunDelta):
        return replace(replica, to=event.to)
    if isinstance(event, RunStarted):
        before = _length(_message(replica.thread, event.message))
        return replace(replica, run=event.run, to=0, before=before)
    if isinstance(event, RunRecovered):
        return replace(replica, run=event.run, to=event.to, before=len(event.content) - len(event.text))
    if isinstance(event, RunFinished) and event.run == replica.run:
        return Replica(replica.thread)
    return replica


def _caught_up(replica: Replica, run: RunSnapshot) -> Replica:
    """The copy with the rest of the run's text, or with all of it."""
    if replica.run != run.run or run.start not in (0, replica.to):
        raise ProtocolError(
            f"The server tells run {run.run} from token {run.start} on, but the text of {replica.run} is here up to "
            f"token {replica.to}. Subscribe again."
        )
    message = _message(replica.thread, run.message)
    if message is not None:
        kept = message.content if run.start else message.content[: replica.before]
        whole = replace(message, content=kept + run.text)
        messages = tuple(whole if one is message else one for one in replica.thread.messages)
        replica = replace(replica, thread=replace(replica.thread, messages=messages))
    return replace(replica, to=run.to)


def _message(thread: Thread, id_: str) -> Message | None:
    return next((one for one in reversed(thread.messages) if one.id == id_), None)


def _length(message: Message | None) -> int:
    return 0 if message is None else len(message.content)
