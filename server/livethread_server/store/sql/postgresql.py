"""One PostgreSQL database: its pool of connections, how transactions run on them, and what is done again.

This module must never know the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from livethread_server.store.base import Unsettled, Unusable
from livethread_server.store.sql.claim import Claim
from livethread_server.store.sql.dialling import Dialling
from livethread_server.store.sql.trouble import is_again, is_undone, telling
from livethread_server.store.unbroken import Unbroken

ATTEMPTS = 3
"""How often a transaction is begun that left nothing: after a deadlock, or on a connection that was dead already."""
WAIT_SECONDS = 30.0
"""How long a transaction waits for a connection of the pool."""
SETTLE_SECONDS = 10.0
"""How long a PostgreSQL that went away while a change was stored is tried to be asked whether it was."""
PAUSE_SECONDS = 0.1
"""How long it is left alone between two such tries."""

T = TypeVar("T")


async def _always() -> None:
    """Nothing to wait for."""


class Pool:
    """Transactions over at most so many connections. ``ready`` is awaited each time before something is changed.

    What changes rows runs at READ COMMITTED: a change names the version and seq it was made on in its UPDATE, and of
    two that come at once the second one waits for the first and then finds no such row (PostgreSQL's manual, 13.2.1).
    What reads sees one snapshot, REPEATABLE READ, and cannot fail for it as it writes nothing.
    """

    def __init__(self, dialling: Dialling, connections: int, ready: Callable[[], Awaitable[None]] = _always) -> None:
        self._place = dialling.place
        self._ready = ready
        self._writing = dialling.engine(
            pool_size=connections, max_overflow=0, pool_timeout=WAIT_SECONDS, pool_use_lifo=True
        )
        self._reading = self._writing.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._looking = self._writing.execution_options(isolation_level="AUTOCOMMIT")

    async def write(self, work: Callable[[Connection], T], again: Callable[[Connection], T] | None = None) -> T:
        """What the work returns, once it is kept. Done again where it certainly left nothing; where nobody knows,
        ``again`` is done. `Unsettled` where that cannot be."""
        try:
            return await self._repeat(self._writing, self._kept, work)
        except Unsettled as lost:
            return await self._settled(again or work, lost)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work returns."""
        return await self._repeat(self._reading, _seen, work)

    async def look(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, which is a single query: one trip to the server instead of three."""
        return await self._repeat(self._looking, _seen, work)

    async def close(self) -> None:
        """Close the connections; nothing may be in hand."""
        await self._writing.dispose()

    async def _repeat(
        self,
        engine: AsyncEngine,
        carry_out: Callable[[AsyncConnection, Callable[[Connection], T]], Coroutine[Any, Any, T]],
        work: Callable[[Connection], T],
    ) -> T:
        attempt = 1
        with telling(self._place):
            while True:
                try:
                    async with engine.connect() as connection:
                        return await carry_out(connection, work)
                except DBAPIError as error:
                    if attempt == ATTEMPTS or not is_again(error):
                        raise
                attempt += 1

    async def _settled(self, again: Callable[[Connection], T], lost: Unsettled) -> T:
        """What was begun may still be under way: what is done again waits for its rows, and then finds how it ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while True:
            try:
                return await self._repeat(self._writing, self._kept, again)
            except Unusable:
                if loop.time() > deadline:
                    raise lost from None
            await asyncio.sleep(PAUSE_SECONDS)

    async def _kept(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        await self._ready()
        result = await connection.run_sync(work)
        try:
            await connection.commit()
        except (DBAPIError, OSError) as error:
            if is_undone(error):
                raise
            raise Unsettled(
                f"The connection to the database {self._place!r} was lost while a change was stored: whether it was, "
                "nobody knows. Look at the thread before you repeat the command."
            ) from None
        return result


class Postgresql:
    """A PostgreSQL database that this server alone uses."""

    def __init__(self, url: URL, connections: int) -> None:
        dialling = Dialling(url)
        self.place = dialling.place
        self._claim = Claim(dialling)
        self._pool = Pool(dialling, connections, self._claim.keep)
        self._unbroken = Unbroken()

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Claim the database, then carry ``prepare`` out."""
        await self._unbroken.do(self._claim.take(prepare))

    async def write(self, work: Callable[[Connection], T], again: Callable[[Connection], T] | None = None) -> T:
        """What the work returns, once it is kept."""
        return await self._unbroken.do(self._pool.write(work, again))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, all of it seen at one moment."""
        return await self._unbroken.do(self._pool.read(work))

    async def look(self, work: Callable[[Connection], T]) -> T:
        """What the work returns, which is a single query."""
        return await self._unbroken.do(self._pool.look(work))

    async def close(self) -> None:
        """Let the work in hand end, close the connections, and let the next server have the database."""
        await self._unbroken.ended()
        await self._pool.close()
        await self._claim.release()


async def _seen(connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
    return await connection.run_sync(work)
