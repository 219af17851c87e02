"""What the server answers: the contents of each command's successful reply, and why one was refused.

This module must never know what the commands ask for.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal, Residency, Run, RunState, Thread


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
    """Who the server is, who the session is, what is served and what is bounded."""

    server: str
    version: str
    session: str
    principal: Principal
    models: tuple[str, ...]
    limits: Limits


class ThreadOk(Struct, frozen=True):
    """The thread as it is now."""

    thread: Thread


class RunSnapshot(Struct, frozen=True):
    """A run that streams now: ``text`` covers its tokens from ``start`` to ``to`` (exclusive)."""

    run: str
    message: str
    start: int = field(name="from")
    to: int
    text: str


class ThreadGetOk(Struct, frozen=True):
    """``more`` says that there are older messages, ``run`` what streams now."""

    thread: Thread
    more: bool
    run: RunSnapshot | UnsetType = UNSET


class ThreadListOk(Struct, frozen=True):
    """``cursor`` continues; null at the end."""

    threads: tuple[Thread, ...]
    cursor: str | None


class VersionOk(Struct, frozen=True):
    """The thread's version behind the change."""

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


class ShareOk(Struct, frozen=True, omit_defaults=True):
    """``invite`` is the token that was asked for, ``expires_at`` when it ends."""

    invite: str | None = None
    expires_at: str | None = None


class Reuse(Struct, frozen=True):
    """How much of a live context a mutation keeps: tokens before the change, and tokens behind it."""

    kept_tokens: int
    stale_tokens: int


class MutateOk(Struct, frozen=True):
    """``messages`` are the ids that the ops made, in order."""

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
    """How the run was when it was cancelled."""

    run: str
    state: RunState


class RunsOk(Struct, frozen=True):
    """In the order of acceptance."""

    runs: tuple[Run, ...]


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
