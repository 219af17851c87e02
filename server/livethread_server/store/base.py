"""The contract of every store, method by method, and the records it keeps.

A store keeps threads, their messages with token ids, their runs, their recent durable events and the
answers given under idempotency keys. It gives each change all or nothing, and checks in the same
transaction that nobody changed the thread in between. A store must never know sockets, prompts, engines
or the rules of mutation: it keeps what `service` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from livethread.errors import LivethreadError
from livethread.model import Message, Run, Thread

EVENTS_KEPT = 512
"""How many of a thread's newest durable events a store keeps."""
KEY_SECONDS = 24 * 3600
"""How long an answer is kept under its idempotency key, in seconds."""
RUNS_KEPT = 256
"""How many of a thread's newest finished runs a store keeps."""

Role = Literal["viewer", "participant", "owner"]
"""What somebody may do with a thread, from least to most; `roles` says what."""


class Turn(Struct, frozen=True):
    """One message and what the wire does not show of it.

    ``position`` orders the turns of a thread, strictly rising, with gaps for insertion. ``tokens`` are the
    ids a generated message consists of; None where its content is the only truth.
    """

    position: int
    message: Message
    tokens: tuple[int, ...] | None = None


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run and what must be known of it after a crash.

    ``request`` is the accepted ``generate`` in JSON, ``digest`` tells equal requests, ``answer`` is the
    reply in JSON, ``undo`` (JSON) takes back what the request put in. ``base`` is what the message held
    before. ``text`` and ``tokens`` are what was generated up to the last flush. ``started`` is the durable
    ``run.started`` in JSON once there was one. ``accepted_at`` is RFC 3339.
    """

    run: Run
    owner: str
    request: bytes
    digest: str
    answer: bytes
    undo: bytes
    base: str = ""
    base_tokens: tuple[int, ...] | None = None
    text: str = ""
    tokens: tuple[int, ...] = ()
    started: bytes | None = None
    accepted_at: str


class EventRecord(Struct, frozen=True):
    """A durable event as it was told: ``body`` is its JSON map."""

    seq: int
    body: bytes


class AnswerRecord(Struct, frozen=True, kw_only=True):
    """What was answered under an idempotency key of one principal on one thread.

    ``expires`` is Unix seconds, `KEY_SECONDS` after it was given: a store has no clock, it takes from here
    what time it is when it prunes.
    """

    principal: str
    key: str
    digest: str
    answer: bytes
    expires: float


class Invite(Struct, frozen=True):
    """Gives a role to whoever brings the token that ``digest`` is the hash of, before ``expires`` (Unix seconds)."""

    digest: str
    role: Role
    expires: float


class Access(Struct, frozen=True):
    """Who may do what with a thread beside its owner: roles by principal id, and invites in any order."""

    shares: dict[str, Role] = {}
    invites: tuple[Invite, ...] = ()


class Record(Struct, frozen=True):
    """A whole thread: ``thread.messages`` is empty, the turns are in order."""

    thread: Thread
    turns: tuple[Turn, ...]
    access: Access = Access()


class Page(Struct, frozen=True):
    """Threads without messages, newest change first; ``cursor`` continues, None at the end."""

    threads: tuple[Thread, ...]
    cursor: str | None


class Change(Struct, frozen=True, kw_only=True):
    """One transaction on one thread.

    ``thread`` is the thread as it shall be (its version and seq already raised); ``was_version`` and
    ``was_seq`` are what they must be now. ``drop`` removes turns by message id, then ``put`` inserts or
    replaces them by id (the last one of an id holds), ``runs`` inserts or replaces runs of this thread by run
    id, ``events`` are added (their seqs follow ``was_seq`` without a gap and end at ``thread.seq``),
    ``answer`` is kept for its key.
    """

    thread: Thread
    was_version: int
    was_seq: int
    put: tuple[Turn, ...] = ()
    drop: tuple[str, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    events: tuple[EventRecord, ...] = ()
    answer: AnswerRecord | None = None


class Missing(LivethreadError):  # noqa: N818 - the name says what happened
    """There is no such thread."""


class Taken(LivethreadError):  # noqa: N818
    """The id is in use already: of a thread at `create`, of another thread's run at `commit`."""


class Stale(LivethreadError):  # noqa: N818
    """Somebody else changed the thread: its version or seq is not what the change was made on."""


class BadCursor(LivethreadError):  # noqa: N818
    """The cursor was not given out by this store."""


class Unusable(LivethreadError):  # noqa: N818
    """What the store keeps its threads in cannot be opened, read or written: where it is, why, what to do."""


class Unsettled(Unusable):
    """The same, just while a change was being kept: nobody knows whether it was."""


class Store(Protocol):
    """Where threads are kept. Methods may run concurrently; each is one transaction.

    Cancelling a call never leaves half of it, and what it leaves is settled when the call has ended. What is
    returned is a value that later changes do not touch. Strings are any text without lone surrogates.
    Any method raises `Unusable` where the ground the store stands on gives way: then nothing was changed, but for
    `Unsettled`, after which only looking tells.
    """

    async def open(self) -> None:
        """Make ready, creating or upgrading what is needed. Called once, before anything else."""

    async def close(self) -> None:
        """Let go of everything. What was committed stays, where the store is durable at all."""

    async def create(self, thread: Thread, turns: Sequence[Turn]) -> None:
        """Keep a new thread, without its ``messages`` and ``residency``. `Taken` where the id is in use."""

    async def load(self, thread: str) -> Record:
        """A whole thread, its ``residency`` always ``cold``. `Missing` where there is none."""

    async def known(self, threads: Sequence[str]) -> Sequence[Thread]:
        """Those of these threads that there are, of any owner and in any order, without their messages. At most
        500 are asked for at once."""

    async def list(self, principal: str, limit: int, cursor: str | None) -> Page:
        """The threads that the principal owns or has a share of, each once, by ``updated_at`` and id, both as text and
        descending; at most ``limit`` (≥ 1).

        A thread that is changed while somebody pages may be seen again or be missed, an unchanged one is
        seen exactly once. `BadCursor` where ``cursor`` is not one of ours.
        """

    async def count(self, owner: str) -> int:
        """How many threads the owner has."""

    async def commit(self, change: Change) -> None:
        """Apply a change, all or nothing.

        Trims the thread's events to `EVENTS_KEPT` and its finished runs to `RUNS_KEPT`, and may drop answers
        of any thread that have expired. `Missing` where the thread is gone, `Stale` where its version or seq
        is not what it was, `Taken` where a run's id is in use by another thread.
        """

    async def delete(self, thread: str, was_version: int, was_seq: int) -> None:
        """Remove a thread with all that is kept of it: runs, answers, shares and invites too. `Missing`, `Stale` as
        above."""

    async def role(self, thread: str, principal: str) -> Role | None:
        """What the principal may do with the thread: ``owner`` of his own, otherwise what his share says. None where
        that is nothing and where there is no such thread, found out in the same way."""

    async def access(self, thread: str) -> Access:
        """Who may do what with the thread beside its owner: nobody anything, where there is no such thread."""

    async def invite(self, thread: str, digest: str) -> Invite | None:
        """The thread's invite with this digest, expired or not."""

    async def share(self, thread: str, access: Access) -> None:
        """Replace who may do what with a thread; its version and seq stay. `Missing` where there is none."""

    async def run(self, run: str) -> RunRecord | None:
        """A run by its id, of whichever thread."""

    async def runs(self, principal: str, thread: str | None, limit: int) -> Sequence[RunRecord]:
        """The runs that the principal owns or that are of a thread he has a share of, of one thread or all, in order of
        acceptance (first put is first accepted).

        Every unfinished one, oldest first, even above ``limit``; then finished ones, newest first, as far as
        ``limit`` has room.
        """

    async def unfinished(self) -> Sequence[RunRecord]:
        """All runs that are not finished, in the order of acceptance: what a crash left behind."""

    async def flush(self, run: str, text: str, tokens: tuple[int, ...]) -> None:
        """Keep what an unfinished run has generated so far. Any other run stays as it is."""

    async def answer(self, thread: str, principal: str, key: str, now: float) -> AnswerRecord | None:
        """What was answered under the key, unless it has expired at ``now`` (Unix seconds)."""

    async def events(self, thread: str, after: int, limit: int) -> Sequence[EventRecord]:
        """Durable events with a seq above ``after``, in order, as far as they are kept."""
