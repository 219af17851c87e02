"""A connection to PostgreSQL that is lost in COMMIT: what was kept is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, make_url

from livethread_server.store.base import Access, Missing, Record, Stale, Taken, Unsettled
from livethread_server.store.sql import SqlStore, changes, postgresql
from livethread_server.store.sql.dialling import Dialling
from livethread_server.store.sql.postgresql import Pool
from tests.fakes import a_change, a_run, a_thread, a_turn
from tests.postgres import PostgresServer
from tests.postgres_proxy import Loss, PostgresProxy

LOSSES: tuple[Loss, ...] = ("command", "answer")


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[PostgresProxy]:
    proxy = PostgresProxy(postgres.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def store(postgres_url: str, proxy: PostgresProxy) -> AsyncIterator[SqlStore]:
    """An open store with the thread ``t`` in it, reached by the proxy."""
    store = SqlStore(proxy.url(postgres_url), 3)
    await store.open()
    await store.create(a_thread(), [])
    yield store
    await store.close()


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_change_is_kept_once_whatever_was_lost(store: SqlStore, proxy: PostgresProxy, loss: Loss) -> None:
    change = a_change(a_thread(), put=(a_turn(1),), runs=(a_run(),), events=[b"1"])
    proxy.losses = [loss]
    await store.commit(change)
    assert proxy.losses == []
    assert await store.load("t") == Record(change.thread, (a_turn(1),))
    assert await store.events("t", 0, 9) == change.events
    assert await store.unfinished() == change.runs


@pytest.mark.parametrize("loss", LOSSES)
async def test_threads_are_created_shared_and_deleted_once(store: SqlStore, proxy: PostgresProxy, loss: Loss) -> None:
    proxy.losses = [loss]
    await store.create(a_thread("u"), (a_turn(1),))
    assert await store.load("u") == Record(a_thread("u"), (a_turn(1),))
    proxy.losses = [loss]
    await store.share("u", Access({"ben": "viewer"}))
    assert (await store.load("u")).access == Access({"ben": "viewer"})
    proxy.losses = [loss]
    await store.delete("u", 1, 0)
    assert proxy.losses == []
    with pytest.raises(Missing):
        await store.load("u")


@pytest.mark.parametrize("loss", LOSSES)
async def test_it_may_be_lost_again_and_again(store: SqlStore, proxy: PostgresProxy, loss: Loss) -> None:
    change = a_change(a_thread(), put=(a_turn(1),))
    proxy.losses = [loss, "command", loss, "answer"]
    await store.commit(change)
    assert proxy.losses == []
    assert (await store.load("t")).thread == change.thread


async def test_what_others_did_in_between_is_not_taken_for_ours(
    store: SqlStore, proxy: PostgresProxy, postgres_url: str
) -> None:
    ours, theirs = (a_change(a_thread(), thread={"title": title}) for title in ("ours", "theirs"))
    others = Pool(Dialling(make_url(postgres_url)), 1)
    lost: tuple[tuple[Coroutine[Any, Any, None], Callable[[Connection], None], type[Exception]], ...] = (
        (store.commit(ours), partial(changes.commit, theirs), Stale),
        (store.create(a_thread("u"), []), partial(changes.create, a_thread("u", epoch="e2"), []), Taken),
        (store.delete("t", 2, 0), partial(changes.commit, a_change(theirs.thread)), Stale),
    )
    for call, work, error in lost:
        proxy.losses, proxy.away = ["command"], True
        calling = asyncio.create_task(call)
        await proxy.lost.wait()
        proxy.lost.clear()
        await others.write(work)
        proxy.open()
        with pytest.raises(error):
            await calling
    await others.close()
    assert (await store.load("t")).thread.title == "theirs"
    assert (await store.load("u")).thread.epoch == "e2"


async def test_a_server_that_comes_back_late_is_waited_for(store: SqlStore, proxy: PostgresProxy) -> None:
    change = a_change(a_thread(), put=(a_turn(1),))
    proxy.losses, proxy.away = ["answer"], True
    storing = asyncio.create_task(store.commit(change))
    await proxy.lost.wait()
    assert not storing.done()
    proxy.open()
    await storing
    assert (await store.load("t")).thread == change.thread


async def test_where_it_stays_away_nobody_knows(
    store: SqlStore, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "SETTLE_SECONDS", 0.05)
    change = a_change(a_thread(), put=(a_turn(1),))
    proxy.losses, proxy.away = ["answer"], True
    with pytest.raises(Unsettled, match="Look at the thread before you repeat the command"):
        await store.commit(change)
    proxy.open()
    assert (await store.load("t")).thread == change.thread
