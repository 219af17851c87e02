"""Every message of the wire as a typed struct: commands, their replies' contents, and events.

Structs here say what may travel; they never know bytes, connections or the rules of a thread.
A command names its ``Ok``: the struct a successful reply holds. The server refuses unknown fields of
commands; clients ignore unknown fields and types of replies and events.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from livethread.errors import CommandError, ErrorCode
from livethread.model import (
    TITLE_CHARACTERS,
    Id,
    Message,
    Metadata,
    Mode,
    Overflow,
    Principal,
    Reason,
    Residency,
    Role,
    Run,
    RunState,
    Sampling,
    Sources,
    Thread,
    Timings,
    Usage,
)

Version = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Title = Annotated[str, Meta(max_length=TITLE_CHARACTERS)]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
IfBusyMutate = Literal["reject", "interrupt", "rollback"]
IfBusyGenerate = Literal["reject", "enqueue", "interrupt", "rollback"]


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    """A message as a client writes it (``M`` in the contract)."""

    role: Role
    content: str
    id: Id | None = None
    metadata: Metadata | None = None


# Ops, as a client asks for them


class Append(Struct, frozen=True, tag_field="op", tag="append", forbid_unknown_fields=True):
    """Put a message at the end."""

    message: Draft


class Insert(Struct, frozen=True, tag_field="op", tag="insert", forbid_unknown_fields=True):
    """Put a message before another."""

    before: Id
    message: Draft


class Edit(Struct, frozen=True, tag_field="op", tag="edit", forbid_unknown_fields=True):
    """Replace the content of a message; its token ids are dropped."""

    message: Id
    content: str


class Delete(Struct, frozen=True, tag_field="op", tag="delete", forbid_unknown_fields=True):
    """Take a message out."""

    message: Id


class Truncate(Struct, frozen=True, tag_field="op", tag="truncate", forbid_unknown_fields=True):
    """Take out everything after a message; ``after: null`` takes out everything."""

    after: Id | None


Op = Append | Insert | Edit | Delete | Truncate


# Ops, as applied and told to subscribers


class Appended(Struct, frozen=True, tag_field="op", tag="append"):
    """A whole message was put at the end."""

    message: Message


class Inserted(Struct, frozen=True, tag_field="op", tag="insert"):
    """A whole message was put before another."""

    before: str
    message: Message


class Edited(Struct, frozen=True, tag_field="op", tag="edit"):
    """The message with this id now is this whole message."""

    message: Message


class Deleted(Struct, frozen=True, tag_field="op", tag="delete"):
    """A message was taken out."""

    message: str


class Truncated(Struct, frozen=True, tag_field="op", tag="truncate"):
    """Everything after a message was taken out."""

    after: str | None


AppliedOp = Appended | Inserted | Edited | Deleted | Truncated


# What successful replies hold


class Empty(Struct, frozen=True):
    """Nothing to say."""


class Limits(Struct, frozen=True):
    """What the server bounds, so that a client can stay inside."""

    frame_bytes: int
    message_bytes: int
    context_tokens: int
    queued_runs: int
    subscriptions: int


class HelloOk(Struct, frozen=True):
    server: str
    version: str
    session: str
    principal: Principal
    models: tuple[str, ...]
    limits: Limits


class ThreadOk(Struct, frozen=True):
    thread: Thread


class RunSnapshot(Struct, frozen=True):
    """A run that streams now: ``text`` covers its tokens from ``start`` to ``to`` (exclusive)."""

    run: str
    message: str
    start: int = field(name="from")
    to: int
    text: str


class ThreadGetOk(Struct, frozen=True):
    thread: Thread
    more: bool
    run: RunSnapshot | UnsetType = UNSET


class ThreadListOk(Struct, frozen=True):
    threads: tuple[Thread, ...]
    cursor: str | None


class VersionOk(Struct, frozen=True):
    version: int


class SubscribeOk(Struct, frozen=True, kw_only=True):
    """``thread`` and ``more`` hold the snapshot; after them come all events with a higher seq."""

    epoch: str
    seq: int
    version: int
    recovered: bool
    thread: Thread | UnsetType = UNSET
    more: bool | UnsetType = UNSET
    events: tuple[Any, ...] | UnsetType = UNSET
    run: RunSnapshot | UnsetType = UNSET


class ResidencyOk(Struct, frozen=True):
    """Where the thread's context is now."""

    residency: Residency


class Reuse(Struct, frozen=True):
    """How much of a live context a mutation keeps: tokens before the change, and tokens behind it."""

    kept_tokens: int
    stale_tokens: int


class MutateOk(Struct, frozen=True):
    version: int
    messages: tuple[str, ...]
    reuse: Reuse | None


class GenerateOk(Struct, frozen=True):
    """``message`` is the one the run writes, ``messages`` are those the ops made, in order."""

    run: str
    message: str
    messages: tuple[str, ...]
    version: int
    position: int


class CancelOk(Struct, frozen=True):
    run: str
    state: RunState


class RunsOk(Struct, frozen=True):
    runs: tuple[Run, ...]


# Commands


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


class ThreadCommand(Command, frozen=True, kw_only=True):
    """A command about one thread; those of one session take effect in the order sent."""

    thread: Id


class ThreadCreate(Command, frozen=True, kw_only=True, tag="thread.create"):
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
    Ok: ClassVar[type[Struct]] = ThreadGetOk
    before: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None


class ThreadList(Command, frozen=True, kw_only=True, tag="thread.list"):
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
    pass


class ThreadFork(ThreadCommand, frozen=True, kw_only=True, tag="thread.fork"):
    Ok: ClassVar[type[Struct]] = ThreadOk
    at: Id | None = None
    new_thread: Id | None = None
    title: Title | None = None


class Subscribe(ThreadCommand, frozen=True, kw_only=True, tag="subscribe"):
    Ok: ClassVar[type[Struct]] = SubscribeOk


class Unsubscribe(ThreadCommand, frozen=True, kw_only=True, tag="unsubscribe"):
    pass


class Mutate(ThreadCommand, frozen=True, kw_only=True, tag="mutate"):
    Ok: ClassVar[type[Struct]] = MutateOk
    ops: Annotated[tuple[Op, ...], Meta(min_length=1, max_length=1024)]
    expect_version: Version | None = None
    key: Key | None = None
    if_busy: IfBusyMutate = "reject"


class Generate(ThreadCommand, frozen=True, kw_only=True, tag="generate"):
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
    Ok: ClassVar[type[Struct]] = RunsOk
    thread: Id | None = None


COMMANDS: dict[str, type[Command]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Hello,
        Ping,
        ThreadCreate,
        ThreadGet,
        ThreadList,
        ThreadUpdate,
        ThreadDelete,
        ThreadFork,
        Subscribe,
        Unsubscribe,
        Mutate,
        Generate,
        ReadDraft,
        Warm,
        Evict,
        Cancel,
        Runs,
    )
}
"""Every command of this version by its type."""


# Replies


class ErrorBody(Struct, frozen=True):
    """Why a command was refused."""

    code: str
    message: str
    retryable: bool
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: CommandError) -> ErrorBody:
        """What travels of a refusal."""
        return cls(str(error.code), error.message, error.retryable, error.details)

    def as_exception(self) -> CommandError:
        """The refusal that travelled; a code that this version does not know counts as ``internal``."""
        known = self.code in ErrorCode.__members__.values()
        error = CommandError(ErrorCode(self.code) if known else ErrorCode.INTERNAL, self.message)
        error.details = self.details if known else {**self.details, "code": self.code}
        return error


class Reply(Struct, frozen=True, kw_only=True, tag_field="type", tag="reply"):
    """The single answer to a command: either ``ok`` or ``error``."""

    id: int
    ok: Any = UNSET
    error: ErrorBody | UnsetType = UNSET


# Events


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
    by: Principal


class ThreadMutated(DurableEvent, frozen=True, kw_only=True, tag="thread.mutated"):
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


class RunFinished(DurableEvent, frozen=True, kw_only=True, tag="run.finished"):
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
    """Text of the run's tokens from ``start`` to ``to`` (exclusive)."""

    run: str
    start: int = field(name="from")
    to: int
    text: str


class ThreadResidency(Event, frozen=True, kw_only=True, tag="thread.residency"):
    residency: Residency


AnyEvent = (
    ThreadUpdated
    | ThreadDeleted
    | ThreadMutated
    | RunQueued
    | RunStarted
    | RunFinished
    | RunProgress
    | RunDelta
    | ThreadResidency
)

EVENTS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        ThreadUpdated,
        ThreadDeleted,
        ThreadMutated,
        RunQueued,
        RunStarted,
        RunFinished,
        RunProgress,
        RunDelta,
        ThreadResidency,
    )
}
"""Every event of this version by its type."""
