"""What happened to a thread: every event as a typed struct.

This module must never know bytes, connections or who listens.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from livethread.model import (
    Message,
    Metadata,
    Overflow,
    Principal,
    Reason,
    Residency,
    Sampling,
    Sources,
    Thread,
    Timings,
    TokenLogprob,
    Usage,
)
from livethread.ops import AppliedOp
from livethread.replies import ErrorBody
from livethread.tasks import Task


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened to a thread; told to its subscribers."""

    thread: str


class DurableEvent(Event, frozen=True, kw_only=True):
    """Stored before it is told; ``seq`` is dense within the thread's epoch."""

    seq: int
    version: int


class ThreadUpdated(DurableEvent, frozen=True, kw_only=True, tag="thread.updated"):
    """Settings changed; only the changed fields are there, null means cleared."""

    title: str | UnsetType | None = UNSET
    model: str | UnsetType = UNSET
    sampling: Sampling | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    overflow: Overflow | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    updated_at: str
    by: Principal


class ThreadDeleted(DurableEvent, frozen=True, kw_only=True, tag="thread.deleted"):
    """The thread is gone; nothing comes behind this."""

    by: Principal


class ThreadMutated(DurableEvent, frozen=True, kw_only=True, tag="thread.mutated"):
    """Messages changed: ``ops`` as they were applied, carrying whole messages."""

    ops: tuple[AppliedOp, ...]
    by: Principal
    updated_at: str


class RunQueued(DurableEvent, frozen=True, kw_only=True, tag="run.queued"):
    """The run must wait; ``position`` counts the runs ahead of it."""

    run: str
    position: int


class RunStarted(DurableEvent, frozen=True, kw_only=True, tag="run.started"):
    """``sources`` says where the reused tokens came from, ``dropped`` how many of the oldest messages were
    left out of the prompt.
    """

    run: str
    message: str
    model: str
    instance: str
    prompt_tokens: int
    reused_tokens: int
    sources: Sources = Sources()
    dropped: int = 0
    sampling: Sampling
    by: Principal


class RunRecovered(DurableEvent, frozen=True, kw_only=True, tag="run.recovered"):
    """The run goes on after the server died: ``text`` covers its tokens up to ``to``, and clients replace what they
    have of it. ``content`` is the whole message with it.
    """

    run: str
    message: str
    to: int
    text: str
    content: str


class RunFinished(DurableEvent, frozen=True, kw_only=True, tag="run.finished"):
    """The run is over, exactly once: ``message`` is whole."""

    run: str
    reason: Reason
    message: Message
    usage: Usage
    timings: Timings
    error: ErrorBody | UnsetType = UNSET


class RunProgress(Event, frozen=True, kw_only=True, tag="run.progress"):
    """The prompt is being ingested: ``cached + processed`` of ``total`` tokens are in KV."""

    run: str
    cached: int
    processed: int
    total: int


class RunDelta(Event, frozen=True, kw_only=True, tag="run.delta"):
    """Text of the run's tokens from ``start`` to ``to`` (exclusive). ``logprobs`` has one entry for each of them, where
    the run's sampling asked for it.
    """

    run: str
    start: int = field(name="from")
    to: int
    text: str
    logprobs: tuple[TokenLogprob, ...] | UnsetType = UNSET


class ThreadResidency(Event, frozen=True, kw_only=True, tag="thread.residency"):
    """The thread's context is somewhere else now."""

    residency: Residency


class TaskEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened to a task; told to the session that made it and asked to be told. Never stored."""


class TaskUpdated(TaskEvent, frozen=True, kw_only=True, tag="task.updated"):
    """The task is like this now; its ``result`` is there once it is done. Progress is told a few times a second."""

    task: Task


class TaskDelta(TaskEvent, frozen=True, kw_only=True, tag="task.delta"):
    """Text of a choice's tokens from ``start`` to ``to`` (exclusive)."""

    task: str
    choice: int
    start: int = field(name="from")
    to: int
    text: str
    logprobs: tuple[TokenLogprob, ...] | UnsetType = UNSET


class Here(Struct, frozen=True):
    """One session that looks at a thread."""

    session: str
    id: str
    name: str
    typing: bool = False


class PresenceChanged(Event, frozen=True, kw_only=True, tag="presence"):
    """Everybody who looks at the thread now, ``here``; of a crowd the first hundred, ``total`` counts all."""

    here: tuple[Here, ...]
    total: int


class ThreadCreated(Event, frozen=True, kw_only=True, tag="thread.created"):
    """To those who watch: there is one more thread that they may read. ``summary`` has no messages."""

    summary: Thread


class ThreadChanged(Event, frozen=True, kw_only=True, tag="thread.updated"):
    """To those who watch: the thread is like this now. It has no ``seq``, unlike what subscribers are told."""

    summary: Thread


class ThreadGone(Event, frozen=True, kw_only=True, tag="thread.deleted"):
    """To those who watch: the thread is gone, or may be read no more."""
