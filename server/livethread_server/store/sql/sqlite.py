"""One SQLite file: its connections, its OS threads, and what to say when it gives way.

This module must never know the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from livethread_server.store.base import Unusable
from livethread_server.store.offload import Offload

READERS = 2
"""How many reads may run at the same time beside the one write."""
BUSY_SECONDS = 5.0
"""How long to wait for another process that writes to the file, in seconds, unless ``?timeout=`` says."""

T = TypeVar("T")


class Sqlite:
    """One SQLite file: a connection that writes, and some that read beside it.

    A transaction runs as a whole on an OS thread of its own. Through aiosqlite, which makes several trips to
    an OS thread for each statement, a commit took five times as long.
    """

    def __init__(self, url: URL) -> None:
        url = _url(url)
        self.place = str(url.database)
        self._writing = _engine(url, "BEGIN IMMEDIATE", 1)
        self._reading = _engine(url, "BEGIN", READERS)
        self._writer = Offload("store-writer", 1)
        self._readers = Offload("store-reader", READERS)
        self._closed = False

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Carry ``prepare`` out, before anything else."""
        await self.write(prepare)

    async def write(self, work: Callable[[Connection], T], again: Callable[[Connection], T] | None = None) -> T:
        """What the work returns, in a transaction that nobody else writes beside. It is always known whether it was
        kept, so that nothing is done ``again``."""
        return await self._writer.do(partial(self._transact, self._writing, work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, all of it seen at one moment."""
        return await self._readers.do(partial(self._transact, self._reading, work))

    async def look(self, work: Callable[[Connection], T]) -> T:
        """The same: a transaction costs nothing here."""
        return await self.read(work)

    async def close(self) -> None:
        """Let the work in hand end, then close the connections; the last one takes the ``-wal`` file away."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.do(self._disconnect)
        finally:
            self._writer.close()

    def _disconnect(self) -> None:
        self._readers.close()
        self._reading.dispose()
        self._writing.dispose()

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            raise _unusable(self.place, error) from error


def _url(url: URL) -> URL:
    if url.database in (None, "", ":memory:"):
        shown = url.render_as_string(hide_password=True)
        raise Unusable(f"Threads cannot be kept in {shown!r}. Use a file, such as 'sqlite:///threads.db'.")
    return url.set(drivername="sqlite+pysqlite", query={"timeout": str(BUSY_SECONDS), **url.query})


def _engine(url: URL, begin: str, connections: int) -> Engine:
    # The driver's own rules for when a transaction begins miss SELECT and DDL: it is told to have none,
    # and every transaction begins by hand (SQLAlchemy, "Transactions with SQLite and the sqlite3 driver").
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # errors are logged, and no log holds a message's text
        connect_args={"isolation_level": None},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _configure(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


_REMEDIES = {
    "CANTOPEN": "Make sure its folder exists and belongs to this user, or choose another place.",
    "READONLY": "Make the file and its folder writable for this user, or choose another place.",
    "PERM": "Make the file and its folder writable for this user, or choose another place.",
    "NOTADB": "Move the file away or put a backup in its place.",
    "CORRUPT": "Move the file away or put a backup in its place.",
    "BUSY": "Another process is writing to it: end that one or choose another place.",
    "LOCKED": "Another process is writing to it: end that one or choose another place.",
    "FULL": "Make room on the disk.",
    "IOERR": "Check the disk and the room on it.",
}


def _unusable(place: str, error: DBAPIError) -> Unusable:
    """Say what is wrong by the primary part of SQLite's result code, such as ``SQLITE_READONLY_DBMOVED``."""
    code = getattr(error.orig, "sqlite_errorname", "").split("_")
    remedy = _REMEDIES.get(code[1] if len(code) > 1 else "", "Check that the file is one of livethread's.")
    return Unusable(f"The database {place!r} cannot be used: {error.orig}. {remedy}")
