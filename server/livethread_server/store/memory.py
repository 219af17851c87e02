"""A store that forgets: threads in dicts, for tests and for servers that shall leave nothing behind.

No method awaits, so each one is a transaction. It must never know more than the contract in ``base.py`` asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec.structs import replace

from livethread.model import Thread
from livethread_server.store.base import (
    EVENTS_KEPT,
    KEY_SECONDS,
    RUNS_KEPT,
    Access,
    AnswerRecord,
    Change,
    EventRecord,
    Invite,
    Missing,
    Page,
    Record,
    Role,
    RunRecord,
    Stale,
    Taken,
    Turn,
)
from livethread_server.store.cursor import to_cursor, to_mark
from livethread_server.store.rows import kept


class _Entry:
    """One thread with its turns by message id and its recent events."""

    def __init__(self, thread: Thread, turns: Iterable[Turn]) -> None:
        self.thread = kept(thread)
        self.turns = {turn.message.id: turn for turn in turns}
        self.access = Access()
        self.events: deque[EventRecord] = deque(maxlen=EVENTS_KEPT)

    def role(self, principal: str) -> Role | None:
        return "owner" if self.thread.owner == principal else self.access.shares.get(principal)


class MemoryStore:
    """Keeps everything in this process; `close` forgets it."""

    def __init__(self) -> None:
        self._threads: dict[str, _Entry] = {}
        # A value that is replaced keeps its place, so the order of runs is the order of acceptance.
        self._runs: dict[str, RunRecord] = {}
        self._answers: dict[tuple[str, str, str], AnswerRecord] = {}

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        self._threads.clear()
        self._runs.clear()
        self._answers.clear()

    async def create(self, thread: Thread, turns: Sequence[Turn]) -> None:
        if thread.id in self._threads:
            raise Taken(f"There is a thread {thread.id!r} already. Choose another id.")
        self._threads[thread.id] = _Entry(thread, turns)

    async def load(self, thread: str) -> Record:
        entry = self._entry(thread)
        turns = sorted(entry.turns.values(), key=lambda turn: turn.position)
        return Record(entry.thread, tuple(turns), entry.access)

    async def known(self, threads: Sequence[str]) -> Sequence[Thread]:
        return tuple(self._threads[thread].thread for thread in set(threads) & self._threads.keys())

    async def list(self, principal: str, limit: int, cursor: str | None) -> Page:
        end = None if cursor is None else to_mark(cursor)
        own = [entry.thread for entry in self._threads.values() if entry.role(principal)]
        marks = sorted(((thread.updated_at, thread.id) for thread in own), reverse=True)
        left = [mark for mark in marks if end is None or mark < end]
        threads = tuple(self._threads[thread].thread for _, thread in left[:limit])
        return Page(threads, to_cursor(left[limit - 1]) if len(left) > limit else None)

    async def count(self, owner: str) -> int:
        return sum(entry.thread.owner == owner for entry in self._threads.values())

    async def commit(self, change: Change) -> None:
        entry = self._unchanged(change.thread.id, change.was_version, change.was_seq)
        self._check_runs(change)
        entry.thread = kept(change.thread)
        for message in change.drop:
            entry.turns.pop(message, None)
        entry.turns.update((turn.message.id, turn) for turn in change.put)
        entry.events.extend(change.events)
        self._runs.update((record.run.id, record) for record in change.runs)
        if any(map(_is_finished, change.runs)):
            self._trim_runs(change.thread.id)
        if change.answer is not None:
            self._keep_answer(change.thread.id, change.answer)

    async def delete(self, thread: str, was_version: int, was_seq: int) -> None:
        self._unchanged(thread, was_version, was_seq)
        del self._threads[thread]
        self._runs = {run: record for run, record in self._runs.items() if record.run.thread != thread}
        self._answers = {key: answer for key, answer in self._answers.items() if key[0] != thread}

    async def role(self, thread: str, principal: str) -> Role | None:
        entry = self._threads.get(thread)
        return None if entry is None else entry.role(principal)

    async def access(self, thread: str) -> Access:
        entry = self._threads.get(thread)
        return Access() if entry is None else entry.access

    async def invite(self, thread: str, digest: str) -> Invite | None:
        entry = self._threads.get(thread)
        invites = () if entry is None else entry.access.invites
        return next((invite for invite in invites if invite.digest == digest), None)

    async def share(self, thread: str, access: Access) -> None:
        self._entry(thread).access = access

    async def run(self, run: str) -> RunRecord | None:
        return self._runs.get(run)

    async def runs(self, principal: str, thread: str | None, limit: int) -> Sequence[RunRecord]:
        own = [
            record
            for record in self._runs.values()
            if thread in (None, record.run.thread)
            and (record.owner == principal or principal in self._threads[record.run.thread].access.shares)
        ]
        unfinished = tuple(record for record in own if not _is_finished(record))
        finished = filter(_is_finished, reversed(own))
        return unfinished + tuple(islice(finished, max(0, limit - len(unfinished))))

    async def unfinished(self) -> Sequence[RunRecord]:
        return tuple(record for record in self._runs.values() if not _is_finished(record))

    async def flush(self, run: str, text: str, tokens: tuple[int, ...]) -> None:
        record = self._runs.get(run)
        if record is not None and not _is_finished(record):
            self._runs[run] = replace(record, text=text, tokens=tokens)

    async def answer(self, thread: str, principal: str, key: str, now: float) -> AnswerRecord | None:
        answer = self._answers.get((thread, principal, key))
        return answer if answer is not None and answer.expires > now else None

    async def events(self, thread: str, after: int, limit: int) -> Sequence[EventRecord]:
        entry = self._threads.get(thread)
        newer = (event for event in (entry.events if entry else ()) if event.seq > after)
        return tuple(islice(newer, limit))

    def _entry(self, thread: str) -> _Entry:
        entry = self._threads.get(thread)
        if entry is None:
            raise Missing(f"There is no thread {thread!r}. It may have been deleted.")
        return entry

    def _unchanged(self, thread: str, version: int, seq: int) -> _Entry:
        entry = self._entry(thread)
        if (entry.thread.version, entry.thread.seq) != (version, seq):
            raise Stale(f"Thread {thread!r} is no longer at version {version}, seq {seq}. Load it and decide again.")
        return entry

    def _check_runs(self, change: Change) -> None:
        for record in change.runs:
            other = self._runs.get(record.run.id)
            if other is not None and other.run.thread != change.thread.id:
                raise Taken(f"There is a run {record.run.id!r} on another thread already. Choose another id.")

    def _trim_runs(self, thread: str) -> None:
        finished = [run for run, record in self._runs.items() if record.run.thread == thread and _is_finished(record)]
        for run in finished[:-RUNS_KEPT]:
            del self._runs[run]

    def _keep_answer(self, thread: str, answer: AnswerRecord) -> None:
        now = answer.expires - KEY_SECONDS
        self._answers = {key: other for key, other in self._answers.items() if other.expires > now}
        self._answers[thread, answer.principal, answer.key] = answer


def _is_finished(record: RunRecord) -> bool:
    return record.run.state == "finished"
