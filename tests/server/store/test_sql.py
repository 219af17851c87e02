"""What only a durable store can show: closing, crashing, breaking, and the version of its tables."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import traceback
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from livethread_server.store.base import Record, Unusable
from livethread_server.store.sql import SqlStore
from livethread_server.store.sql.sqlite import Sqlite
from tests.fakes import a_change, a_run, a_thread, a_turn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


async def opened(path: Path, query: str = "") -> SqlStore:
    store = SqlStore(f"sqlite:///{path}{query}")
    await store.open()
    return store


async def filled(path: Path) -> None:
    """A database with one thread of 64 KiB, closed again."""
    store = await opened(path)
    await store.create(a_thread(), [a_turn(n, "x" * 4096) for n in range(16)])
    await store.close()


async def test_what_was_committed_is_there_after_a_restart(path: Path) -> None:
    store = await opened(path)
    await store.create(a_thread(), [a_turn(1)])
    change = a_change(a_thread(), put=(a_turn(2),), runs=(a_run(),), events=[b"1"])
    await store.commit(change)
    await store.flush("r", "part", (1,))
    await store.close()
    store = await opened(path)
    assert await store.load("t") == Record(change.thread, (a_turn(1), a_turn(2)))
    assert [(run.text, run.tokens) for run in await store.unfinished()] == [("part", (1,))]
    assert len(await store.events("t", 0, 9)) == 1
    await store.close()


async def test_closing_leaves_one_file_and_no_os_thread(path: Path) -> None:
    store = await opened(path)
    await store.create(a_thread(), [])
    await asyncio.gather(*(store.load("t") for _ in range(8)))
    await store.close()
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["threads.db"]
    assert not [each.name for each in threading.enumerate() if each.name.startswith("store-")]


async def test_closing_lets_the_work_in_hand_end(path: Path) -> None:
    store = await opened(path)
    calls = [asyncio.create_task(store.create(a_thread(f"t{n}"), [])) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*calls)
    store = await opened(path)
    assert len((await store.list("alice", 99, None)).threads) == 20
    await store.close()


COMMITTER = """
import asyncio, sys
from livethread_server.store.sql import SqlStore
from tests.fakes import a_change, a_thread, a_turn

async def main() -> None:
    store = SqlStore(sys.argv[1])
    await store.open()
    was = a_thread()
    await store.create(was, [])
    for n in range(100_000):
        change = a_change(was, put=(a_turn(n, "x" * 500),), events=[b"y" * 300])
        await store.commit(change)
        was = change.thread
        print(was.seq, flush=True)

asyncio.run(main())
"""


def commit_until_killed(url: str, number: int) -> int:
    """Kill a process that commits once it announced ``number`` of them; how many it had announced by then."""
    command = [sys.executable, "-c", COMMITTER, url]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout is not None
        for _ in range(number):
            child.stdout.readline()
        child.kill()
        return number + len(child.stdout.read().split())


@pytest.mark.parametrize(("database", "number"), [("sqlite", 1), ("sqlite", 137), ("postgresql", 137)])
async def test_what_was_announced_survives_kill_9(
    path: Path, database: str, number: int, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{path}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    announced = commit_until_killed(url, number)
    store = SqlStore(url)
    await store.open()
    record = await store.load("t")
    assert record.thread.seq >= announced
    assert len(record.turns) == record.thread.seq == record.thread.version - 1
    newest = await store.events("t", 0, 9999)
    assert newest[-1].seq == record.thread.seq
    await store.close()


async def test_many_threads_are_written_and_read_at_the_same_time(path: Path) -> None:
    store = await opened(path)

    async def write(name: str) -> None:
        was = a_thread(name)
        await store.create(was, [])
        for n in range(20):
            change = a_change(was, put=(a_turn(n),), events=[b"x"])
            await store.commit(change)
            was = change.thread

    async def read(name: str) -> None:
        for _ in range(20):
            for thread in (await store.list("alice", 50, None)).threads:
                record = await store.load(thread.id)
                assert len(record.turns) == record.thread.seq

    await asyncio.gather(*(work(f"t{n}") for n in range(10) for work in (write, read)))
    await store.close()


# What can go wrong with a file


def spoil(path: Path, what: str) -> Path:
    """Put something at the path, or lead the path to where nothing can be put."""
    if what == "garbage":
        path.write_bytes(b"this is not a database" * 500)
    elif what == "folder":
        path.mkdir()
    return path / "deeper" / "threads.db" if what == "nowhere" else path


def damage(path: Path) -> None:
    """Overwrite every page but the first three, which hold the header and the schema."""
    with path.open("r+b") as file:
        for page in range(3, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


async def open_and_load(store: SqlStore) -> None:
    await store.open()
    await store.load("t")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("garbage", "Move the file away"),
        ("folder", "Make sure its folder exists"),
        ("nowhere", "Make sure its folder exists"),
    ],
)
async def test_a_file_that_cannot_be_opened_is_named_with_a_remedy(path: Path, what: str, sentence: str) -> None:
    path = spoil(path, what)
    store = SqlStore(f"sqlite:///{path}")
    with pytest.raises(Unusable, match=sentence) as caught:
        await store.open()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    await store.close()


async def test_a_file_that_may_not_be_written_is_refused(path: Path) -> None:
    await filled(path)
    store = SqlStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(Unusable, match="Make the file and its folder writable"):
        await store.open()
    await store.close()


async def test_a_file_that_is_damaged_inside_says_so_when_it_is_read(path: Path) -> None:
    await filled(path)
    damage(path)
    store = SqlStore(f"sqlite:///{path}")
    with pytest.raises(Unusable, match="malformed"):
        await open_and_load(store)
    await store.close()


async def test_another_process_that_writes_is_waited_for_then_named(path: Path) -> None:
    store = await opened(path, "?timeout=0.05")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unusable, match="Another process is writing"):
            await store.create(a_thread(), [])
        other.execute("ROLLBACK")
    await store.create(a_thread(), [])
    assert await store.load("t") == Record(a_thread(), ())
    await store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(Unusable, match=r"such as 'sqlite:///threads\.db'"):
        SqlStore(url)


async def test_a_path_may_hold_what_a_url_may_not(path: Path) -> None:
    store = SqlStore(path.with_name("100% threads?#é.db"))
    await store.open()
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["100% threads?#é.db"]


async def test_the_url_may_name_any_sqlite_driver(path: Path) -> None:
    store = SqlStore(f"sqlite+aiosqlite:///{path}")
    await store.open()
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["threads.db"]


async def test_an_error_shows_nothing_of_what_was_to_be_stored(path: Path) -> None:
    database = Sqlite(URL.create("sqlite", database=str(path)))

    def failing(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("-".join(["my", "diary"]),))

    with pytest.raises(Unusable) as caught:
        await database.write(failing)
    told = "".join(traceback.format_exception(caught.value))
    assert "INSERT INTO nowhere" in told
    assert "my-diary" not in told
    await database.close()
