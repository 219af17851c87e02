"""One change of one thread while it is being put together: turns, settings, runs and durable events.

Versions and seqs are counted here and checked by the store. A transaction must never know how it is
stored or who is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from livethread.errors import CommandError, ErrorCode
from livethread.messages import DurableEvent, ThreadMutated, ThreadUpdated
from livethread.model import Principal, Thread
from livethread_server.mutation import Mutation, changes
from livethread_server.stamps import now
from livethread_server.store.base import AnswerRecord, Change, EventRecord, RunRecord, Turn

E = TypeVar("E", bound=DurableEvent)


class Transaction:
    """Starts from what a thread is; ends as a `Change` for the store and `events` for the subscribers."""

    def __init__(self, thread: Thread, turns: tuple[Turn, ...]) -> None:
        self.thread = thread
        self.turns = turns
        self.events: list[DurableEvent] = []
        self.answer: AnswerRecord | None = None
        self._was = thread
        self._turns_were = turns
        self._runs: dict[str, RunRecord] = {}

    def expect(self, version: int | None) -> None:
        """Refuse with ``version_conflict`` where the caller thought of another version."""
        if version is not None and version != self._was.version:
            raise CommandError(
                ErrorCode.VERSION_CONFLICT,
                f"The thread is at version {self._was.version}, not {version}. Read it again and repeat the change.",
                version=self._was.version,
                expect_version=version,
            )

    def mutate(self, mutation: Mutation, by: Principal) -> None:
        """Take over the outcome of ops as one version."""
        self.turns = mutation.turns
        self._bump()
        self.tell(ThreadMutated, ops=mutation.ops, by=by, updated_at=self.thread.updated_at)

    def update(self, fields: dict[str, Any], by: Principal) -> None:
        """Change settings of the thread as one version."""
        self.thread = msgspec.structs.replace(self.thread, **fields)
        self._bump()
        self.tell(ThreadUpdated, **fields, by=by, updated_at=self.thread.updated_at)

    def put(self, turn: Turn) -> None:
        """Replace a turn by message id without a version: what a run does to its own message."""
        self.turns = tuple(turn if old.message.id == turn.message.id else old for old in self.turns)

    def turn(self, message: str) -> Turn:
        """The turn of a message that is known to be there."""
        return next(turn for turn in self.turns if turn.message.id == message)

    def keep(self, run: RunRecord) -> None:
        """Keep a run with this change."""
        self._runs[run.run.id] = run

    def tell(self, kind: Callable[..., E], **fields: Any) -> E:
        """Add a durable event; it gets the next seq and the version as it now is."""
        seq = self.thread.seq + 1
        self.thread = msgspec.structs.replace(self.thread, seq=seq)
        event = kind(thread=self.thread.id, seq=seq, version=self.thread.version, **fields)
        self.events.append(event)
        return event

    def change(self) -> Change:
        """Everything so far, for the store."""
        put, drop = changes(self._turns_were, self.turns)
        return Change(
            thread=self.thread,
            was_version=self._was.version,
            was_seq=self._was.seq,
            put=put,
            drop=drop,
            runs=tuple(self._runs.values()),
            events=tuple(EventRecord(event.seq, msgspec.json.encode(event)) for event in self.events),
            answer=self.answer,
        )

    def _bump(self) -> None:
        self.thread = msgspec.structs.replace(self.thread, version=self.thread.version + 1, updated_at=now())


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given at all."""
    return {name: value for name, value in fields.items() if value is not UNSET}
