"""What changes rows: each function is one transaction over the connection it is given.

This module must never know who decided the change, or on which database it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs
from sqlalchemy import Connection, bindparam, select, tuple_
from sqlalchemy.exc import IntegrityError

from livethread.model import Thread
from livethread_server.store.base import (
    EVENTS_KEPT,
    KEY_SECONDS,
    RUNS_KEPT,
    Access,
    AnswerRecord,
    Change,
    EventRecord,
    Missing,
    RunRecord,
    Stale,
    Taken,
    Turn,
)
from livethread_server.store.rows import pack_tokens, run_row, thread_row, turn_row
from livethread_server.store.sql.queries import missing
from livethread_server.store.sql.schema import ANSWERS, EVENTS, INVITES, RUNS, SHARES, THREADS, TURNS
from livethread_server.store.sql.upsert import upsert


def create(thread: Thread, turns: Sequence[Turn], connection: Connection) -> None:
    try:
        connection.execute(THREADS.insert(), thread_row(thread))
    except IntegrityError:
        raise Taken(f"There is a thread {thread.id!r} already. Choose another id.") from None
    _put_turns(connection, thread.id, turns)


def create_again(thread: Thread, turns: Sequence[Turn], connection: Connection) -> None:
    """The same, where it may have been kept already."""
    try:
        with connection.begin_nested():
            create(thread, turns, connection)
    except Taken:
        if not _stands(thread, connection):
            raise


_AT = (
    THREADS.c.id == bindparam("at"),
    THREADS.c.version == bindparam("was_version"),
    THREADS.c.seq == bindparam("was_seq"),
)
_REPLACE_THREAD = THREADS.update().where(*_AT)
_DELETE_THREAD = THREADS.delete().where(*_AT)


def commit(change: Change, connection: Connection) -> None:
    thread = change.thread
    at = {"at": thread.id, "was_version": change.was_version, "was_seq": change.was_seq}
    if connection.execute(_REPLACE_THREAD, thread_row(thread) | at).rowcount != 1:
        raise _refused(connection, thread.id, change.was_version, change.was_seq)
    _change_turns(connection, thread.id, change.put, change.drop)
    _add_events(connection, thread, change.events)
    for record in change.runs:
        _put_run(connection, record)
    if any(record.run.state == "finished" for record in change.runs):
        _trim_runs(connection, thread.id)
    if change.answer is not None:
        _put_answer(connection, thread.id, change.answer)


def commit_again(change: Change, connection: Connection) -> None:
    """The same, where it may have been kept already."""
    try:
        commit(change, connection)
    except Stale:
        if not _stands(change.thread, connection):
            raise


def delete(thread: str, was_version: int, was_seq: int, connection: Connection) -> None:
    at = {"at": thread, "was_version": was_version, "was_seq": was_seq}
    if connection.execute(_DELETE_THREAD, at).rowcount != 1:
        raise _refused(connection, thread, was_version, was_seq)


def delete_again(thread: str, was_version: int, was_seq: int, connection: Connection) -> None:
    """The same, where it may have been kept already."""
    with suppress(Missing):
        delete(thread, was_version, was_seq, connection)


_DROP_SHARES = SHARES.delete().where(SHARES.c.thread == bindparam("of"))
_DROP_INVITES = INVITES.delete().where(INVITES.c.thread == bindparam("of"))


def share(thread: str, access: Access, connection: Connection) -> None:
    # Locked, as nothing else says that the thread stays until its shares are there.
    if connection.scalar(select(THREADS.c.id).where(THREADS.c.id == thread).with_for_update()) is None:
        raise missing(thread)
    connection.execute(_DROP_SHARES, {"of": thread})
    connection.execute(_DROP_INVITES, {"of": thread})
    shares = [{"thread": thread, "principal": who, "role": role} for who, role in access.shares.items()]
    invites = [{"thread": thread, **structs.asdict(invite)} for invite in access.invites]
    if shares:
        connection.execute(SHARES.insert(), shares)
    if invites:
        connection.execute(INVITES.insert(), invites)


def _refused(connection: Connection, thread: str, version: int, seq: int) -> Missing | Stale:
    if connection.scalar(select(THREADS.c.id).where(THREADS.c.id == thread)) is None:
        return missing(thread)
    return Stale(f"Thread {thread!r} is no longer at version {version}, seq {seq}. Load it and decide again.")


def _stands(thread: Thread, connection: Connection) -> bool:
    """Whether a thread is kept just as it is here: as of its epoch, version and seq."""
    body = connection.scalar(select(THREADS.c.body).where(THREADS.c.id == thread.id))
    return bool(body == thread_row(thread)["body"])


_DROP_TURN = TURNS.delete().where(TURNS.c.thread == bindparam("of"), TURNS.c.id == bindparam("message"))


def _change_turns(connection: Connection, thread: str, put: Sequence[Turn], drop: Sequence[str]) -> None:
    if drop:
        connection.execute(_DROP_TURN, [{"of": thread, "message": message} for message in drop])
    _put_turns(connection, thread, put)


_PUT_TURN = upsert(TURNS)


def _put_turns(connection: Connection, thread: str, turns: Sequence[Turn]) -> None:
    last = {turn.message.id: turn for turn in turns}
    if last:
        connection.execute(_PUT_TURN, [turn_row(thread, turn) for turn in last.values()])


_TRIM_EVENTS = EVENTS.delete().where(EVENTS.c.thread == bindparam("of"), EVENTS.c.seq <= bindparam("last"))


def _add_events(connection: Connection, thread: Thread, events: Sequence[EventRecord]) -> None:
    if not events:
        return
    rows = [{"thread": thread.id, "seq": event.seq, "body": event.body} for event in events]
    connection.execute(EVENTS.insert(), rows)
    if thread.seq > EVENTS_KEPT:
        connection.execute(_TRIM_EVENTS, {"of": thread.id, "last": thread.seq - EVENTS_KEPT})


_REPLACE_RUN = RUNS.update().where(RUNS.c.id == bindparam("at"), RUNS.c.thread == bindparam("of"))


def _put_run(connection: Connection, record: RunRecord) -> None:
    row = run_row(record)
    replaced = connection.execute(_REPLACE_RUN, row | {"at": record.run.id, "of": record.run.thread})
    if replaced.rowcount:
        return
    try:
        connection.execute(RUNS.insert(), row)
    except IntegrityError:
        raise Taken(f"There is a run {record.run.id!r} on another thread already. Choose another id.") from None


_FINISHED = select(RUNS.c.n).where(RUNS.c.thread == bindparam("of"), RUNS.c.finished)
_FIRST_TOO_MANY = _FINISHED.order_by(RUNS.c.n.desc()).limit(1).offset(RUNS_KEPT).scalar_subquery()
_TRIM_RUNS = RUNS.delete().where(RUNS.c.thread == bindparam("of"), RUNS.c.finished, RUNS.c.n <= _FIRST_TOO_MANY)


def _trim_runs(connection: Connection, thread: str) -> None:
    connection.execute(_TRIM_RUNS, {"of": thread})


# What another transaction has its hand on is left to it: waiting for each other's answers, two would never end.
_OLD = select(*ANSWERS.primary_key).where(ANSWERS.c.expires <= bindparam("now")).with_for_update(skip_locked=True)
_EXPIRED = ANSWERS.delete().where(tuple_(*ANSWERS.primary_key).in_(_OLD))
_PUT_ANSWER = upsert(ANSWERS)


def _put_answer(connection: Connection, thread: str, answer: AnswerRecord) -> None:
    connection.execute(_EXPIRED, {"now": answer.expires - KEY_SECONDS})
    row = {
        "thread": thread,
        "principal": answer.principal,
        "key": answer.key.encode(),
        "digest": answer.digest,
        "answer": answer.answer,
        "expires": answer.expires,
    }
    connection.execute(_PUT_ANSWER, row)


_FLUSH = RUNS.update().where(RUNS.c.id == bindparam("at"), ~RUNS.c.finished)


def flush(run: str, text: str, tokens: tuple[int, ...], connection: Connection) -> None:
    connection.execute(_FLUSH, {"at": run, "text": text.encode(), "tokens": pack_tokens(tokens)})
