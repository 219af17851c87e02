"""What reads rows: each function is one transaction over the connection it is given.

This module must never change a row.
"""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, tuple_

from livethread.model import Thread
from livethread_server.store.base import (
    Access,
    AnswerRecord,
    EventRecord,
    Invite,
    Missing,
    Page,
    Record,
    Role,
    RunRecord,
)
from livethread_server.store.cursor import Mark, to_cursor
from livethread_server.store.rows import to_run, to_thread, to_turn
from livethread_server.store.sql.schema import ANSWERS, EVENTS, INVITES, RUNS, SHARES, THREADS, TURNS


def load(thread: str, connection: Connection) -> Record:
    body = connection.scalar(select(THREADS.c.body).where(THREADS.c.id == thread))
    if body is None:
        raise missing(thread)
    columns = select(TURNS.c.position, TURNS.c.body, TURNS.c.tokens)
    rows = connection.execute(columns.where(TURNS.c.thread == thread).order_by(TURNS.c.position))
    return Record(to_thread(body), tuple(map(to_turn, rows)), access(thread, connection))


def known(threads: tuple[str, ...], connection: Connection) -> tuple[Thread, ...]:
    query = select(THREADS.c.body).where(THREADS.c.id.in_(threads))
    return tuple(to_thread(body) for body in connection.scalars(query))


def page(principal: str, limit: int, end: Mark | None, connection: Connection) -> Page:
    # Each of the two is read in the order of an index, and only as far as the page goes.
    own = select(THREADS.c.body).where(THREADS.c.owner == principal)
    shared = (
        select(THREADS.c.body)
        .join(SHARES, SHARES.c.thread == THREADS.c.id)
        .where(SHARES.c.principal == principal, THREADS.c.owner != principal)
    )
    found = (_newest(query, limit + 1, end, connection) for query in (own, shared))
    threads = tuple(islice(merge(*found, key=_mark, reverse=True), limit + 1))
    return Page(threads[:limit], to_cursor(_mark(threads[limit - 1])) if len(threads) > limit else None)


def _newest(query: Select[Any], limit: int, end: Mark | None, connection: Connection) -> list[Thread]:
    if end is not None:
        query = query.where(tuple_(THREADS.c.updated_at, THREADS.c.id) < end)
    newest = query.order_by(THREADS.c.updated_at.desc(), THREADS.c.id.desc()).limit(limit)
    return [to_thread(body) for body in connection.scalars(newest)]


def _mark(thread: Thread) -> Mark:
    return (thread.updated_at, thread.id)


def role(thread: str, principal: str, connection: Connection) -> Role | None:
    share = and_(SHARES.c.thread == THREADS.c.id, SHARES.c.principal == principal)
    query = select(THREADS.c.owner, SHARES.c.role).outerjoin(SHARES, share).where(THREADS.c.id == thread)
    row = connection.execute(query).first()
    if row is None:
        return None
    found: Role | None = "owner" if row.owner == principal else row.role
    return found


def invite(thread: str, digest: str, connection: Connection) -> Invite | None:
    query = select(INVITES).where(INVITES.c.thread == thread, INVITES.c.digest == digest)
    row = connection.execute(query).first()
    return None if row is None else Invite(row.digest, row.role, row.expires)


def access(thread: str, connection: Connection) -> Access:
    shares = connection.execute(select(SHARES.c.principal, SHARES.c.role).where(SHARES.c.thread == thread))
    invites = connection.execute(select(INVITES).where(INVITES.c.thread == thread).order_by(INVITES.c.expires))
    return Access(
        {row.principal: row.role for row in shares},
        tuple(Invite(row.digest, row.role, row.expires) for row in invites),
    )


def count(owner: str, connection: Connection) -> int:
    query = select(func.count()).select_from(THREADS).where(THREADS.c.owner == owner)
    return connection.execute(query).scalar_one()


def missing(thread: str) -> Missing:
    return Missing(f"There is no thread {thread!r}. It may have been deleted.")


def answer(thread: str, principal: str, key: str, now: float, connection: Connection) -> AnswerRecord | None:
    query = select(ANSWERS.c.digest, ANSWERS.c.answer, ANSWERS.c.expires).where(
        ANSWERS.c.thread == thread,
        ANSWERS.c.principal == principal,
        ANSWERS.c.key == key.encode(),
        ANSWERS.c.expires > now,
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return AnswerRecord(principal=principal, key=key, digest=row.digest, answer=row.answer, expires=row.expires)


def run(run: str, connection: Connection) -> RunRecord | None:
    row = connection.execute(select(RUNS).where(RUNS.c.id == run)).first()
    return None if row is None else to_run(row)


def unfinished(connection: Connection) -> tuple[RunRecord, ...]:
    return _select_runs(select(RUNS).where(~RUNS.c.finished).order_by(RUNS.c.n), connection)


def runs(principal: str, thread: str | None, limit: int, connection: Connection) -> tuple[RunRecord, ...]:
    shared = select(SHARES.c.thread).where(SHARES.c.principal == principal)
    own = select(RUNS).where(or_(RUNS.c.owner == principal, RUNS.c.thread.in_(shared)))
    if thread is not None:
        own = own.where(RUNS.c.thread == thread)
    waiting = _select_runs(own.where(~RUNS.c.finished).order_by(RUNS.c.n), connection)
    room = max(0, limit - len(waiting))
    finished = own.where(RUNS.c.finished).order_by(RUNS.c.n.desc()).limit(room)
    return waiting + _select_runs(finished, connection)


def events(thread: str, after: int, limit: int, connection: Connection) -> tuple[EventRecord, ...]:
    query = select(EVENTS.c.seq, EVENTS.c.body).where(EVENTS.c.thread == thread, EVENTS.c.seq > after)
    rows = connection.execute(query.order_by(EVENTS.c.seq).limit(limit))
    return tuple(EventRecord(row.seq, row.body) for row in rows)


def _select_runs(query: Select[Any], connection: Connection) -> tuple[RunRecord, ...]:
    return tuple(map(to_run, connection.execute(query)))
