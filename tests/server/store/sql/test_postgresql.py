"""What only PostgreSQL shows: two servers, deadlocks, and connections that end beneath us."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text

from livethread_server.store.base import Record, Stale, Unsettled, Unusable
from livethread_server.store.sql import SqlStore, changes, postgresql, queries
from livethread_server.store.sql.dialling import Dialling
from livethread_server.store.sql.postgresql import Pool
from tests.fakes import a_change, a_thread, a_turn
from tests.postgres import PASSWORD, PostgresServer, name_of


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[SqlStore]:
    """An open store with the thread ``t`` in it."""
    store = SqlStore(postgres_url, 3)
    await store.open()
    await store.create(a_thread(), [])
    yield store
    await store.close()


@pytest.fixture
async def pools(postgres_url: str, store: SqlStore) -> AsyncIterator[tuple[Pool, Pool]]:
    """The connections of two servers to the database of ``store``."""
    both = (pool_to(postgres_url), pool_to(postgres_url))
    yield both
    for pool in both:
        await pool.close()


def pool_to(url: str, connections: int = 3) -> Pool:
    return Pool(Dialling(make_url(url)), connections)


def saying(*statements: str) -> Callable[[Connection], Any]:
    """A transaction of these statements; what the last one answers."""

    def work(connection: Connection) -> Any:
        for statement in statements[:-1]:
            connection.execute(text(statement))
        return connection.scalar(text(statements[-1]))

    return work


async def test_what_was_committed_is_there_after_a_restart(store: SqlStore, postgres_url: str) -> None:
    change = a_change(a_thread(), put=(a_turn(2),), events=[b"1"])
    await store.commit(change)
    await store.close()
    await store.close()
    again = SqlStore(postgres_url)
    await again.open()
    assert await again.load("t") == Record(change.thread, (a_turn(2),))
    await again.close()


async def test_of_two_servers_that_change_a_thread_at_once_one_wins(pools: tuple[Pool, Pool]) -> None:
    was = a_thread()
    for step in range(10):
        makings = [a_change(was, put=(a_turn(10 * step + n),), events=[b"x"]) for n in range(4)]
        calls = [pools[n % 2].write(partial(changes.commit, change)) for n, change in enumerate(makings)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [Stale] * 3
        was = makings[results.index(None)].thread
    record = await pools[0].read(partial(queries.load, "t"))
    assert record.thread == was
    assert len(record.turns) == 10


async def test_what_is_read_is_seen_at_one_moment(store: SqlStore, pools: tuple[Pool, Pool]) -> None:
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> tuple[Any, Any]:
        counting = text("SELECT count(*) FROM turns")
        before = connection.scalar(counting)
        loop.call_soon(reading.set)
        connection.execute(text("SELECT pg_sleep(0.1)"))
        return before, connection.scalar(counting)

    seen = asyncio.create_task(pools[0].read(work))
    await reading.wait()
    await store.commit(a_change(a_thread(), put=(a_turn(1),)))
    assert await seen == (0, 0)
    with pytest.raises(Unusable, match="read-only transaction"):
        await pools[0].read(saying("DELETE FROM threads RETURNING 1"))


async def test_of_two_that_wait_for_each_other_one_begins_again(store: SqlStore, pools: tuple[Pool, Pool]) -> None:
    await store.create(a_thread("u"), [])
    locking = "SELECT seq FROM threads WHERE id = '{}' FOR UPDATE"
    works = [saying(locking.format(x), "SELECT pg_sleep(0.05)", locking.format(y)) for x, y in ("tu", "ut")]
    calls = [pool.write(work) for pool, work in zip(pools, works, strict=True)]
    assert await asyncio.gather(*calls) == [0, 0]


async def test_a_server_that_was_started_again_is_not_noticed_by_who_slept(
    store: SqlStore, postgres: PostgresServer
) -> None:
    await asyncio.gather(*(store.load("t") for _ in range(9)))
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)
    await store.commit(a_change(a_thread(), put=(a_turn(1),)))
    assert len(await asyncio.gather(*(store.load("t") for _ in range(9)))) == 9


async def test_while_the_server_is_down_a_sentence_says_so_and_then_all_goes_on(
    store: SqlStore, postgres: PostgresServer
) -> None:
    change = a_change(a_thread(), put=(a_turn(1),))
    await asyncio.to_thread(postgres.stop)
    for call in (partial(store.commit, change), partial(store.load, "t")):
        with pytest.raises(Unusable, match="Make sure that PostgreSQL runs there"):
            await call()
    await asyncio.to_thread(postgres.start)
    await store.commit(change)
    assert (await store.load("t")).thread == change.thread


async def test_transactions_whose_connections_are_ended_begin_again(store: SqlStore, postgres: PostgresServer) -> None:
    begun: list[str] = []

    def work(name: str, connection: Connection) -> Any:
        begun.append(name)
        seconds = 60 if begun.count(name) == 1 else 0
        return connection.scalar(text(f"SELECT '{name}' FROM pg_sleep({seconds})"))

    calls = [
        asyncio.create_task(do(partial(work, do.__name__))) for do in (store._database.read, store._database.write)
    ]
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%FROM pg_sleep(60)'"
    ended: list[str] = []
    while len(ended) < 2:
        ended += await asyncio.to_thread(postgres.sql, "postgres", ending)
    assert await asyncio.gather(*calls) == ["read", "write"]
    assert begun.count("read") > 1 < begun.count("write")


async def test_a_connection_lost_while_a_change_is_stored_is_told_apart(
    store: SqlStore, postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "SETTLE_SECONDS", 0.05)
    postgres.sql(
        name_of(postgres_url),
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER dying AFTER INSERT ON turns DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()",
    )
    with pytest.raises(Unsettled, match="lost while a change was stored"):
        await store.commit(a_change(a_thread(), put=(a_turn(1),)))
    await store.commit(a_change(a_thread()))
    assert (await store.load("t")).turns == ()


async def test_who_finds_all_connections_in_use_waits_then_is_told(
    postgres_url: str, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "WAIT_SECONDS", 0.05)
    pool = pool_to(postgres_url, 1)
    assert len(await asyncio.gather(*(pool.read(saying("SELECT 1")) for _ in range(9)))) == 9
    sleeping = asyncio.create_task(pool.read(saying("SELECT 1 FROM pg_sleep(0.5)")))
    await asyncio.sleep(0.02)
    with pytest.raises(Unusable, match=r"in use\. Give more with --store-connections"):
        await pool.read(saying("SELECT 1"))
    assert await sleeping == 1
    await pool.close()


async def test_who_gets_no_answer_in_time_is_told(postgres_url: str, store: SqlStore) -> None:
    pool = pool_to(f"{postgres_url}&command_timeout=0.05")
    with pytest.raises(Unusable, match="it does not answer"):
        await pool.write(saying("SELECT 1 FROM pg_sleep(9)"))
    assert await pool.read(saying("SELECT 1")) == 1
    await pool.close()


async def test_closing_lets_the_work_in_hand_end(store: SqlStore, postgres_url: str) -> None:
    calls = [asyncio.create_task(store.create(a_thread(f"t{n}"), [])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*calls)
    again = SqlStore(postgres_url)
    await again.open()
    assert await again.count("alice") == 21
    await again.close()


async def test_an_error_shows_nothing_of_what_was_to_be_stored(store: SqlStore) -> None:
    def failing(connection: Connection) -> None:
        values = {"id": "-".join(["my", "diary"]), "owner": None}
        connection.execute(text("INSERT INTO threads (id, owner) VALUES (:id, :owner)"), values)

    with pytest.raises(Unusable, match="violates not-null constraint") as caught:
        await store._database.write(failing)
    assert "my-diary" not in "".join(traceback.format_exception(caught.value))


async def test_a_password_is_asked_for_and_never_told(store: SqlStore, postgres: PostgresServer) -> None:
    url = postgres.create()
    right = SqlStore(postgres.by_password(url))
    await right.open()
    await right.close()
    wrong = SqlStore(postgres.by_password(url, PASSWORD + "?"))
    with pytest.raises(Unusable, match="Check user and password in --store") as caught:
        await wrong.open()
    await wrong.close()
    postgres.drop(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


async def test_a_database_that_cannot_be_used_is_named_with_a_remedy(postgres: PostgresServer) -> None:
    latin = postgres.create("ENCODING LATIN1 TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc")
    sealed = postgres.create()
    full, copy = postgres.create("CONNECTION LIMIT 0"), postgres.create()
    postgres.sql("postgres", "CREATE ROLE guest LOGIN")
    postgres.sql("postgres", f"ALTER DATABASE {name_of(copy)} SET default_transaction_read_only = on")
    places = (
        (latin, "Create one with the encoding UTF8"),
        (sealed.replace("//postgres@", "//guest@"), "Let the user create tables in it"),
        (full.replace("//postgres@", "//guest@"), "lower --store-connections"),
        (copy, "name the server that is written to"),
        (sealed.replace(name_of(sealed), "nowhere"), "Create it with PostgreSQL's createdb"),
        (sealed.replace(f"port={postgres.port}", "port=1"), "Make sure that PostgreSQL runs there"),
    )
    for url, sentence in places:
        store = SqlStore(url)
        with pytest.raises(Unusable, match=sentence) as caught:
            await store.open()
        await store.close()
        assert str(caught.value).startswith("The database 'postgresql:///")
        assert "\n" not in str(caught.value)
    for url in (latin, sealed, full, copy):
        postgres.drop(url)
    postgres.sql("postgres", "DROP ROLE guest")
