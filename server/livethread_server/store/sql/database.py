"""What a store needs of a database, and which one an address names.

This module must never know the tables, nor how any database works.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from livethread_server.store.address import masked
from livethread_server.store.base import Unusable
from livethread_server.store.sql.sqlite import Sqlite

T = TypeVar("T")


class Database(Protocol):
    """Runs functions over a connection, each as one transaction: what it raises undoes it.

    Cancelled while it is done, a transaction goes on to its end, and the cancellation arrives after that. Every method
    raises `Unusable` where the database gives way.
    """

    place: str
    """What sentences call the database; no password is in it."""

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Make ready; ``prepare`` is the first transaction, beside which there is no other, not of another server."""

    async def write(self, work: Callable[[Connection], T], again: Callable[[Connection], T] | None = None) -> T:
        """What the work returns. It may change rows, and may be done more than once before it is kept.

        ``again`` takes its place once nobody knows whether it was kept: it must come to the same in both cases. None
        says that the work itself does. `Unsettled` where that cannot be found out.
        """

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, all of it seen at one moment."""

    async def look(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, which is a single query: for that no transaction need be begun."""

    async def close(self) -> None:
        """Let the work in hand end, then let go of everything. May be called twice, and without `open`."""


def database(address: str | Path, connections: int) -> Database:
    """The database at a path or URL, not opened yet; ``connections`` bounds a server's. `Unusable` where it is none."""
    if isinstance(address, Path):
        return Sqlite(URL.create("sqlite", database=str(address)))
    url = _parsed(address)
    match url.get_backend_name():
        case "sqlite":
            return Sqlite(url)
        case "postgresql" | "postgres":
            # Loaded only where it is used: every command of the command line would pay for it.
            from livethread_server.store.sql.postgresql import Postgresql

            return Postgresql(url, connections)
    raise Unusable(f"Threads cannot be kept in {masked(address)!r}. {_REMEDY}")


_REMEDY = "Use a URL such as 'sqlite:///threads.db' or 'postgresql://user:password@host/database'."


def _parsed(address: str) -> URL:
    try:
        return make_url(address)
    except (ArgumentError, ValueError):
        raise Unusable(f"{masked(address)!r} is not a database URL. {_REMEDY}") from None
