"""Databases of older versions, of this one and of newer ones, over both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DDLElement, MetaData, make_url, text
from sqlalchemy.schema import CreateIndex, CreateTable

from livethread_server.store.base import Access, Unusable
from livethread_server.store.sql import SqlStore
from livethread_server.store.sql.dialling import Dialling
from livethread_server.store.sql.postgresql import Pool
from livethread_server.store.sql.schema import META, SCHEMA_VERSION, TABLES
from livethread_server.store.sql.sqlite import Sqlite
from livethread_server.store.sql.upgrading import MIGRATIONS, migrate, prepare, stamp
from tests import old_tables
from tests.fakes import a_change, a_run, a_thread, a_turn


class Place:
    """An empty database at ``url``; ``do`` carries a transaction out beside any store."""

    def __init__(self, url: str, raw: Sqlite | Pool) -> None:
        self.url, self._raw = url, raw

    async def do(self, work: Callable[[Connection], Any]) -> Any:
        return await self._raw.write(work)

    async def ask(self, statement: str) -> list[Any]:
        return list(await self.do(lambda connection: connection.execute(text(statement)).scalars().all()))

    async def opened(self) -> SqlStore:
        store = SqlStore(self.url)
        await store.open()
        return store


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/100%/threads.db" if sqlite else request.getfixturevalue("postgres_url")
    (tmp_path / "100%").mkdir()
    raw = Sqlite(make_url(url)) if sqlite else Pool(Dialling(make_url(url)), 1)
    yield Place(url, raw)
    await raw.close()


def described(connection: Connection) -> list[str]:
    """All that a database says of its tables, a line for each column, key and index."""
    found = MetaData()
    found.reflect(connection)
    lines = []
    for table in found.tables.values():
        made: list[DDLElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
        whole = "\n".join(str(one.compile(connection)) for one in made)
        lines += [f"{table.name}: {line.strip(', ')}" for line in whole.splitlines()]
    return sorted(lines)


def differences(connection: Connection) -> Any:
    return compare_metadata(MigrationContext.configure(connection), TABLES)


def from_nothing(connection: Connection) -> None:
    """Take every step there is."""
    META.create(connection)
    migrate(connection)


@pytest.mark.parametrize("version", [1, 2])
async def test_an_old_database_is_opened_whole_and_is_of_this_version_then(place: Place, version: int) -> None:
    await place.do(partial(old_tables.make, version))
    for _ in range(2):
        store = await place.opened()
        record = await store.load("t")
        assert (record.thread, record.turns) == (a_thread(seq=1), (a_turn(1, "Hello\0", (1, 2)),))
        assert await store.unfinished() == (a_run(),)
        assert [event.body for event in await store.events("t", 0, 9)] == [b"1"]
        assert await store.answer("t", "alice", "k", 0) is not None
        assert record.access == Access({"bob": "viewer"} if version > 1 else {})
        await store.close()
    assert await place.ask("SELECT value FROM meta") == [SCHEMA_VERSION]
    assert await place.ask("SELECT version_num FROM alembic_version") == [f"{SCHEMA_VERSION:04}"]
    assert await place.do(differences) == []
    store = await place.opened()
    await store.share("t", Access({"carl": "viewer"}))
    await store.commit(a_change(a_thread(seq=1), runs=(a_run("s"),)))
    assert [run.run.id for run in await store.unfinished()] == ["r", "s"]
    assert await store.role("t", "carl") == "viewer"
    await store.close()


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_whatever_way_tables_came_to_be_they_are_the_same(place: Place, version: int) -> None:
    await place.do(partial(prepare, "new"))
    assert await place.do(differences) == []
    new = await place.do(described)
    await place.do(drop_all)
    await place.do(from_nothing if version == 0 else partial(old_tables.make, version))
    if version:
        await place.do(partial(prepare, "old"))
    assert await place.do(differences) == []
    assert await place.do(described) == new


def drop_all(connection: Connection) -> None:
    found = MetaData()
    found.reflect(connection)
    found.drop_all(connection)


async def test_a_newer_database_is_refused_and_left_alone(place: Place) -> None:
    await (await place.opened()).close()
    await place.do(lambda connection: connection.execute(text(f"UPDATE meta SET value = {SCHEMA_VERSION + 1}")))
    await place.do(lambda connection: connection.execute(text("DROP TABLE answers")))
    was = await place.do(described)
    store = SqlStore(place.url)
    with pytest.raises(Unusable, match=r"' has schema version 3, this livethread knows 2\. Use the livethread"):
        await store.open()
    await store.close()
    assert await place.do(described) == was
    assert await place.ask("SELECT value FROM meta") == [SCHEMA_VERSION + 1]


async def test_an_upgrade_that_fails_leaves_the_database_as_it_was(place: Place) -> None:
    await place.do(partial(old_tables.make, 1))
    await place.do(lambda connection: connection.execute(text("CREATE TABLE invites (mine INTEGER)")))
    was = await place.do(described)
    store = SqlStore(place.url)
    with pytest.raises(Unusable, match=r"invites.* already exists"):
        await store.open()
    await store.close()
    assert await place.do(described) == was
    assert await place.ask("SELECT value FROM meta") == [1]
    await place.do(lambda connection: connection.execute(text("DROP TABLE invites")))
    store = await place.opened()
    assert (await store.load("t")).thread == a_thread(seq=1)
    await store.close()


def test_there_is_a_step_for_each_version_in_one_line() -> None:
    steps = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    assert [step.revision for step in steps] == [f"{version:04}" for version in range(SCHEMA_VERSION, 0, -1)]


async def test_a_stamp_is_written_once_however_often(place: Place) -> None:
    for version in (1, 1, 2):
        await place.do(partial(stamp, version))
    assert await place.ask("SELECT version_num FROM alembic_version") == ["0002"]


OPENING = """
import asyncio, sys
from livethread_server.store.sql import SqlStore

async def main() -> None:
    store = SqlStore(sys.argv[1])
    await store.open()
    await store.close()
    print([name for name in ("alembic", "asyncpg") if name in sys.modules])

asyncio.run(main())
"""


def test_what_other_databases_need_is_not_loaded_nor_is_alembic_for_a_current_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENING, f"sqlite:///{tmp_path}/threads.db"]
    for _ in range(2):
        said = subprocess.check_output(command, env={"PYTHONPATH": ":".join(sys.path)}, text=True)
        assert said == "[]\n"
