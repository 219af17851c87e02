from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.store.base import Unusable
from livethread_server.store.sql.database import database
from livethread_server.store.sql.postgresql import Postgresql
from livethread_server.store.sql.sqlite import Sqlite


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"])
def test_every_name_of_postgresql_means_the_one_driver(scheme: str) -> None:
    assert isinstance(database(f"{scheme}://user:secret@host/threads", 1), Postgresql)


@pytest.mark.parametrize("address", [Path("threads.db"), "sqlite:///threads.db"])
async def test_paths_and_their_urls_are_sqlite(address: str | Path) -> None:
    found = database(address, 1)
    assert isinstance(found, Sqlite)
    assert found.place == "threads.db"
    await found.close()


@pytest.mark.parametrize(
    "address", ["threads.db", "mysql://u:secret@h/d", "postgresql:/u:sec@ret@h/d", "x://u:secret@h:p/d"]
)
def test_an_address_that_names_no_database_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(
        Unusable, match=r"such as 'sqlite:///threads\.db' or 'postgresql://user:password@host"
    ) as caught:
        database(address, 1)
    assert "sec" not in str(caught.value)
