"""One server at a time, whatever becomes of it and of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from livethread_server.store.base import Unusable
from livethread_server.store.sql import SqlStore, claim
from tests.fakes import a_change, a_thread
from tests.postgres import PostgresServer, name_of


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two servers' stores on one database, the first one open."""
    both = (SqlStore(postgres_url, 2), SqlStore(postgres_url, 2))
    await both[0].open()
    yield both
    for store in both:
        await store.close()


def cut(postgres: PostgresServer, url: str) -> None:
    """End all connections to a database."""
    ending = f"SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"
    assert set(postgres.sql("postgres", ending)) == {"t"}


async def test_a_second_server_is_refused(
    stores: tuple[SqlStore, SqlStore], monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setattr(claim, "PATIENCE_SECONDS", 0.2)
    first, second = stores
    with pytest.raises(Unusable, match=f"Another server uses the database 'postgresql:///{name_of(postgres_url)}"):
        await second.open()
    await first.create(a_thread(), [])


async def test_a_server_waits_for_one_that_is_just_ending(stores: tuple[SqlStore, SqlStore]) -> None:
    first, second = stores
    opening = asyncio.create_task(second.open())
    await asyncio.sleep(0.05)
    await first.close()
    await opening
    await second.create(a_thread(), [])


async def test_two_servers_that_start_at_once_leave_one_and_its_tables_whole(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE_SECONDS", 0.2)
    both = (SqlStore(postgres_url), SqlStore(postgres_url))
    results = await asyncio.gather(*(store.open() for store in both), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Unusable]
    await both[results.index(None)].create(a_thread(), [])
    for store in both:
        await store.close()


async def test_a_claim_whose_connection_is_lost_is_made_again(
    stores: tuple[SqlStore, SqlStore], postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE_SECONDS", 0.2)
    first, second = stores
    await first.create(a_thread(), [])
    cut(postgres, postgres_url)
    await first.commit(a_change(a_thread()))
    with pytest.raises(Unusable, match="Another server uses the database"):
        await second.open()


async def test_who_lost_the_database_to_another_server_changes_nothing_there(
    stores: tuple[SqlStore, SqlStore], postgres: PostgresServer, postgres_url: str
) -> None:
    first, second = stores
    await first.create(a_thread(), [])
    cut(postgres, postgres_url)
    await second.open()
    with pytest.raises(Unusable, match="Another server uses the database"):
        await first.commit(a_change(a_thread()))
    assert (await second.load("t")).thread == a_thread()
    await second.close()
    await first.commit(a_change(a_thread()))


async def test_nobody_else_can_be_let_in_by_cancelling(stores: tuple[SqlStore, SqlStore]) -> None:
    first, second = stores
    await first.close()
    opening = asyncio.create_task(second.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await second.close()
    third = SqlStore(second._database.place.replace(":///", "://postgres@/"))
    await third.open()
    await third.close()
