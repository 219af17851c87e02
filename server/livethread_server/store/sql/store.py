"""The store's methods, each a transaction handed to the database.

This module must never know more than the contract in ``base.py`` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from livethread.model import Thread
from livethread_server.store.base import (
    Access,
    AnswerRecord,
    Change,
    EventRecord,
    Invite,
    Page,
    Record,
    Role,
    RunRecord,
    Turn,
)
from livethread_server.store.cursor import to_mark
from livethread_server.store.sql import changes, queries
from livethread_server.store.sql.database import database
from livethread_server.store.sql.upgrading import prepare

CONNECTIONS = 10
"""To how many connections a server keeps itself, unless it is told otherwise."""


class SqlStore:
    """Keeps threads in an SQLite file, given by its path or by a URL such as ``sqlite:///threads.db``, or in a database
    of PostgreSQL, ``postgresql://user:password@host/database``, over at most so many ``connections``.

    `Unusable` where the URL names no database that this version can keep threads in. Next: `open`.
    """

    def __init__(self, address: str | Path, connections: int = CONNECTIONS) -> None:
        self._database = database(address, connections)

    async def open(self) -> None:
        await self._database.open(partial(prepare, self._database.place))

    async def close(self) -> None:
        await self._database.close()

    async def create(self, thread: Thread, turns: Sequence[Turn]) -> None:
        await self._database.write(partial(changes.create, thread, turns), partial(changes.create_again, thread, turns))

    async def load(self, thread: str) -> Record:
        return await self._database.read(partial(queries.load, thread))

    async def known(self, threads: Sequence[str]) -> Sequence[Thread]:
        return await self._database.look(partial(queries.known, tuple(threads)))

    async def list(self, principal: str, limit: int, cursor: str | None) -> Page:
        end = None if cursor is None else to_mark(cursor)
        return await self._database.read(partial(queries.page, principal, limit, end))

    async def count(self, owner: str) -> int:
        return await self._database.look(partial(queries.count, owner))

    async def commit(self, change: Change) -> None:
        await self._database.write(partial(changes.commit, change), partial(changes.commit_again, change))

    async def delete(self, thread: str, was_version: int, was_seq: int) -> None:
        was = (thread, was_version, was_seq)
        await self._database.write(partial(changes.delete, *was), partial(changes.delete_again, *was))

    async def role(self, thread: str, principal: str) -> Role | None:
        return await self._database.look(partial(queries.role, thread, principal))

    async def access(self, thread: str) -> Access:
        return await self._database.read(partial(queries.access, thread))

    async def invite(self, thread: str, digest: str) -> Invite | None:
        return await self._database.look(partial(queries.invite, thread, digest))

    async def share(self, thread: str, access: Access) -> None:
        await self._database.write(partial(changes.share, thread, access))

    async def run(self, run: str) -> RunRecord | None:
        return await self._database.look(partial(queries.run, run))

    async def runs(self, principal: str, thread: str | None, limit: int) -> Sequence[RunRecord]:
        return await self._database.read(partial(queries.runs, principal, thread, limit))

    async def unfinished(self) -> Sequence[RunRecord]:
        return await self._database.look(queries.unfinished)

    async def flush(self, run: str, text: str, tokens: tuple[int, ...]) -> None:
        await self._database.write(partial(changes.flush, run, text, tokens))

    async def answer(self, thread: str, principal: str, key: str, now: float) -> AnswerRecord | None:
        return await self._database.look(partial(queries.answer, thread, principal, key, now))

    async def events(self, thread: str, after: int, limit: int) -> Sequence[EventRecord]:
        return await self._database.look(partial(queries.events, thread, after, limit))
