"""A thread as a client keeps it: a snapshot, and what each event does to it.

Pure: a snapshot plus the events after it is the server's state. The one difference to what the server
stores is that here the content of a streaming message holds the text that has come so far. This module
must never know connections, clocks or who is looking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from livethread.errors import ProtocolError
from livethread.messages import (
    Appended,
    AppliedOp,
    Deleted,
    DurableEvent,
    Edited,
    Event,
    Inserted,
    RunDelta,
    RunFinished,
    RunRecovered,
    RunSnapshot,
    RunStarted,
    ThreadMutated,
    ThreadResidency,
    ThreadUpdated,
    Truncated,
)
from livethread.model import Message, Thread

Messages = tuple[Message, ...]


def begin(thread: Thread, run: RunSnapshot | UnsetType) -> Thread:
    """The thread as a snapshot shows it, with the text of the run that streams now."""
    if isinstance(run, UnsetType):
        return thread
    return replace(thread, messages=_extended(thread.messages, lambda one: one.id == run.message, run.text))


def apply(thread: Thread, event: Event) -> Thread:
    """The thread after an event. A durable event that the thread holds already changes nothing.

    `ProtocolError` where durable events between the two are missing: subscribe again. A message that the
    snapshot left out is left out here too.
    """
    if not isinstance(event, DurableEvent):
        return _apply_ephemeral(thread, event)
    if event.seq <= thread.seq:
        return thread
    if event.seq > thread.seq + 1:
        raise ProtocolError(
            f"Thread {thread.id} is at seq {thread.seq}, but the next event has seq {event.seq}. Subscribe again."
        )
    return replace(_apply_durable(thread, event), seq=event.seq, version=event.version)


def _apply_ephemeral(thread: Thread, event: Event) -> Thread:
    if isinstance(event, RunDelta):
        run, text = event.run, event.text
        return replace(thread, messages=_extended(thread.messages, lambda one: one.run == run, text))
    if isinstance(event, ThreadResidency):
        return replace(thread, residency=event.residency)
    return thread


def _apply_durable(thread: Thread, event: DurableEvent) -> Thread:
    if isinstance(event, ThreadUpdated):
        return replace(thread, **_settings(event))
    if isinstance(event, ThreadMutated):
        messages = thread.messages
        for op in event.ops:
            messages = _mutated(messages, op)
        return replace(thread, messages=messages, updated_at=event.updated_at)
    if isinstance(event, RunStarted):
        return replace(thread, messages=_started(thread.messages, event))
    if isinstance(event, RunRecovered):
        return replace(thread, messages=_recovered(thread.messages, event))
    if isinstance(event, RunFinished):
        return replace(thread, messages=_with(thread.messages, event.message))
    return thread


def _settings(event: ThreadUpdated) -> dict[str, Any]:
    names = ("title", "model", "sampling", "metadata", "overflow", "pinned", "updated_at")
    values = {name: getattr(event, name) for name in names}
    return {name: value for name, value in values.items() if not isinstance(value, UnsetType)}


def _mutated(messages: Messages, op: AppliedOp) -> Messages:
    match op:
        case Appended(message=message):
            return (*messages, message)
        case Inserted(before=before, message=message):
            index = _index(messages, before)
            return messages if index is None else (*messages[:index], message, *messages[index:])
        case Edited(message=message):
            return _with(messages, message)
        case Deleted(message=gone):
            return tuple(one for one in messages if one.id != gone)
        case Truncated(after=after):
            index = None if after is None else _index(messages, after)
            return () if index is None else messages[: index + 1]


def _started(messages: Messages, event: RunStarted) -> Messages:
    index = _index(messages, event.message)
    if index is None:
        return messages
    message = replace(messages[index], state="streaming", run=event.run)
    return (*messages[:index], message, *messages[index + 1 :])


def _recovered(messages: Messages, event: RunRecovered) -> Messages:
    """Whatever was shown of the run: this is what its message holds now."""
    index = _index(messages, event.message)
    if index is None:
        return messages
    message = replace(messages[index], content=event.content, state="streaming", run=event.run)
    return (*messages[:index], message, *messages[index + 1 :])


def _with(messages: Messages, message: Message) -> Messages:
    index = _index(messages, message.id)
    return messages if index is None else (*messages[:index], message, *messages[index + 1 :])


def _extended(messages: Messages, wanted: Callable[[Message], bool], text: str) -> Messages:
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if wanted(message):
            longer = replace(message, content=message.content + text)
            return (*messages[:index], longer, *messages[index + 1 :])
    return messages


def _index(messages: Messages, id_: str) -> int | None:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].id == id_:
            return index
    return None
