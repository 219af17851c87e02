"""What a client asks for: every command as a typed struct, with what a successful reply to it holds.

This module must never know bytes, connections or the rules of a thread.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from livethread.model import TITLE_CHARACTERS, Id, Metadata, Mode, Overflow, Sampling
from livethread.ops import Draft, Op
from livethread.replies import (
    CancelOk,
    Empty,
    GenerateOk,
    HelloOk,
    MutateOk,
    ResidencyOk,
    RunsOk,
    ShareOk,
    SubscribeOk,
    ThreadGetOk,
    ThreadListOk,
    ThreadOk,
    VersionOk,
)
from livethread.tasks import KindName, TaskCancelOk, TaskListOk, TaskOk, TaskState

Version = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Title = Annotated[str, Meta(max_length=TITLE_CHARACTERS)]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
IfBusyMutate = Literal["reject", "interrupt", "rollback"]
ShareRole = Literal["viewer", "participant", "owner", "none"]
IfBusyGenerate = Literal["reject", "enqueue", "interrupt", "rollback"]


class Command(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """What a client asks for. ``id`` is the client's own integer; the reply echoes it."""

    Ok: ClassVar[type[Struct]] = Empty
    id: int


class Hello(Command, frozen=True, kw_only=True, tag="hello"):
    """The first command; may be left out where no authentication is configured."""

    Ok: ClassVar[type[Struct]] = HelloOk
    client: Annotated[str, Meta(max_length=256)] = ""
    protocol: Literal[1] = 1
    token: Annotated[str, Meta(max_length=16384)] | None = None


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    """Ask for a sign of life. It never waits for anything."""


class Watch(Command, frozen=True, kw_only=True, tag="watch"):
    """From now on be told of every readable thread that is made, changed or gone, as `ThreadCreated`,
    `ThreadChanged` and `ThreadGone`. List the threads behind it, and nothing is missed.
    """


class ThreadCommand(Command, frozen=True, kw_only=True):
    """A command about one thread; those of one session take effect in the order sent."""

    thread: Id


class ThreadCreate(Command, frozen=True, kw_only=True, tag="thread.create"):
    """Make a thread, with its first messages where there are any."""

    Ok: ClassVar[type[Struct]] = ThreadOk
    thread: Id | None = None
    model: Annotated[str, Meta(max_length=256)] | None = None
    title: Title | None = None
    messages: tuple[Draft, ...] = ()
    sampling: Sampling | None = None
    metadata: Metadata | None = None
    overflow: Overflow | None = None
    pinned: bool | None = None
    if_exists: Literal["error", "get"] = "error"


class ThreadGet(ThreadCommand, frozen=True, kw_only=True, tag="thread.get"):
    """A thread with its newest messages, or with up to ``limit`` of those ``before`` one."""

    Ok: ClassVar[type[Struct]] = ThreadGetOk
    before: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None


class ThreadList(Command, frozen=True, kw_only=True, tag="thread.list"):
    """Summaries of all readable threads, the newest change first."""

    Ok: ClassVar[type[Struct]] = ThreadListOk
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class ThreadUpdate(ThreadCommand, frozen=True, kw_only=True, tag="thread.update"):
    """Only the fields given change; null clears a field."""

    Ok: ClassVar[type[Struct]] = VersionOk
    title: Title | UnsetType | None = UNSET
    model: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    sampling: Sampling | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    overflow: Overflow | UnsetType | None = UNSET
    pinned: bool | UnsetType | None = UNSET
    expect_version: Version | None = None


class ThreadDelete(ThreadCommand, frozen=True, kw_only=True, tag="thread.delete"):
    """End the thread's runs, then the thread."""


class ThreadShare(ThreadCommand, frozen=True, kw_only=True, tag="thread.share"):
    """Give somebody a role on the thread, or take it away: ``role`` none.

    Either ``principal`` names who, or ``invite`` is true: then the reply holds a token that gives the role to
    whoever brings it within ``expires_s``. ``invite`` with such a token and without a ``role`` takes it up; with
    role none it is revoked.
    """

    Ok: ClassVar[type[Struct]] = ShareOk
    principal: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    invite: bool | Annotated[str, Meta(max_length=256)] | None = None
    role: ShareRole | None = None
    expires_s: Annotated[int, Meta(ge=1, le=366 * 86400)] | None = None


class ThreadFork(ThreadCommand, frozen=True, kw_only=True, tag="thread.fork"):
    """A new thread with the messages up to ``at``, which is the last finished one unless given."""

    Ok: ClassVar[type[Struct]] = ThreadOk
    at: Id | None = None
    new_thread: Id | None = None
    title: Title | None = None


class Since(Struct, frozen=True, forbid_unknown_fields=True):
    """How far a client that comes back had come: the last durable ``seq`` of an ``epoch`` that it has, and the
    token ``to`` up to which it has the text of the ``run`` that streamed.
    """

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Version
    run: Id | None = None
    to: Version = 0


class Subscribe(ThreadCommand, frozen=True, kw_only=True, tag="subscribe"):
    """With ``since`` only what is new is answered, where the server still knows it."""

    Ok: ClassVar[type[Struct]] = SubscribeOk
    since: Since | None = None


class Unsubscribe(ThreadCommand, frozen=True, kw_only=True, tag="unsubscribe"):
    """Be told of the thread no more."""


class Mutate(ThreadCommand, frozen=True, kw_only=True, tag="mutate"):
    """Change the thread by ``ops``: all of them in order, or none."""

    Ok: ClassVar[type[Struct]] = MutateOk
    ops: Annotated[tuple[Op, ...], Meta(min_length=1, max_length=1024)]
    expect_version: Version | None = None
    key: Key | None = None
    if_busy: IfBusyMutate = "reject"


class Generate(ThreadCommand, frozen=True, kw_only=True, tag="generate"):
    """Ask the model for a reply, after ``ops`` where there are any. Its text comes as events."""

    Ok: ClassVar[type[Struct]] = GenerateOk
    ops: Annotated[tuple[Op, ...], Meta(max_length=1024)] = ()
    run: Id | None = None
    mode: Mode = "reply"
    sampling: Sampling | None = None
    if_busy: IfBusyGenerate = "reject"
    on_disconnect: Literal["continue", "cancel"] = "continue"
    timeout_ms: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)] | None = None
    expect_version: Version | None = None
    key: Key | None = None


class ReadDraft(ThreadCommand, frozen=True, kw_only=True, tag="draft"):
    """What a person is typing as the next message: the model reads it ahead. Never stored, never told."""

    text: str


class Warm(ThreadCommand, frozen=True, kw_only=True, tag="warm"):
    """Make the thread's context live."""

    Ok: ClassVar[type[Struct]] = ResidencyOk


class Evict(ThreadCommand, frozen=True, kw_only=True, tag="evict"):
    """Put the thread's context on disk; answered once it can be restored from there."""

    Ok: ClassVar[type[Struct]] = ResidencyOk


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    """End a run. It never waits for anything, and may be sent again."""

    Ok: ClassVar[type[Struct]] = CancelOk
    run: Id


class Runs(Command, frozen=True, kw_only=True, tag="runs"):
    """The runs of a thread or of all: every unfinished one, then the newest finished ones."""

    Ok: ClassVar[type[Struct]] = RunsOk
    thread: Id | None = None


class TaskCreate(Command, frozen=True, kw_only=True, tag="task.create"):
    """Begin a stateless task of a ``kind``. It is answered when the task was taken; with ``stream`` its creator is told
    of it as `TaskUpdated` and `TaskDelta`.
    """

    Ok: ClassVar[type[Struct]] = TaskOk
    kind: KindName
    input: dict[str, Any]
    task: Id | None = None
    timeout_ms: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)] | None = None
    key: Key | None = None
    stream: bool = False


class TaskGet(Command, frozen=True, kw_only=True, tag="task.get"):
    """How a task is; with ``wait_ms`` as soon as it is over, or then."""

    Ok: ClassVar[type[Struct]] = TaskOk
    task: Id
    wait_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0


class TaskList(Command, frozen=True, kw_only=True, tag="task.list"):
    """The caller's tasks, the newest first, without their results."""

    Ok: ClassVar[type[Struct]] = TaskListOk
    kind: KindName | None = None
    state: TaskState | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class TaskCancel(Command, frozen=True, kw_only=True, tag="task.cancel"):
    """End a task. It never waits for anything, and may be sent again."""

    Ok: ClassVar[type[Struct]] = TaskCancelOk
    task: Id


class Presence(ThreadCommand, frozen=True, kw_only=True, tag="presence"):
    """Say that somebody looks at the thread, and whether he is typing. It holds while the session subscribes to
    the thread; typing must be said again within a few seconds.
    """

    typing: bool = False
