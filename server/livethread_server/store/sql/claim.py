"""A server's claim to a PostgreSQL database: one at a time may have it.

The claim is an advisory lock of a connection that stays open as long as the server lives, so that it ends with the
server however that ends (PostgreSQL's manual, "Advisory Locks"). This module must never know what the database holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, NullPool, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livethread_server.store.base import Unusable
from livethread_server.store.sql.dialling import Dialling
from livethread_server.store.sql.trouble import telling

KEY = int.from_bytes(b"livethre", "big")
"""The lock's number, the same in all versions: no other program has a reason to choose it."""
PATIENCE_SECONDS = 5.0
"""How long a server that starts waits for the claim: PostgreSQL may not know yet that the last one is dead."""
PAUSE_SECONDS = 0.1


class Claim:
    """One server's claim to a database: `take` it, `keep` it before each change, `release` it."""

    def __init__(self, dialling: Dialling) -> None:
        self._place = dialling.place
        self._engine = dialling.engine(patient=True, poolclass=NullPool)
        self._connection: AsyncConnection | None = None
        self._raw: Any = None
        self._taking = asyncio.Lock()

    async def take(self, prepare: Callable[[Connection], None]) -> None:
        """Get the claim, then carry ``prepare`` out under it. `Unusable` where another server has it."""
        with telling(self._place):
            connection = await self._claimed(PATIENCE_SECONDS)
            async with connection.begin():
                await self._check_encoding(connection)
                await connection.run_sync(prepare)

    async def keep(self) -> None:
        """Get the claim again where its connection was lost. `Unusable` where another server has it by now."""
        if self._raw is not None and not self._raw.is_closed():
            return
        async with self._taking:
            if self._raw is None or self._raw.is_closed():
                with telling(self._place):
                    await self._claimed(0.0)

    async def release(self) -> None:
        """Let another server have it."""
        connection, self._connection, self._raw = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _claimed(self, patience: float) -> AsyncConnection:
        await self.release()
        connection = await self._engine.connect()
        try:
            await self._lock(connection, patience)
            self._raw = (await connection.get_raw_connection()).driver_connection
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    async def _lock(self, connection: AsyncConnection, patience: float) -> None:
        deadline = asyncio.get_running_loop().time() + patience
        while not await self._try(connection):
            if asyncio.get_running_loop().time() > deadline:
                raise Unusable(
                    f"Another server uses the database {self._place!r}. Stop it, or choose another with --store. "
                    "Where its machine is gone, PostgreSQL notices within a minute."
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _try(self, connection: AsyncConnection) -> bool:
        async with connection.begin():
            return bool(await connection.scalar(select(func.pg_try_advisory_lock(KEY))))

    async def _check_encoding(self, connection: AsyncConnection) -> None:
        encoding = await connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise Unusable(
                f"The database {self._place!r} has the encoding {encoding}, which does not take all text. "
                "Create one with the encoding UTF8."
            )
