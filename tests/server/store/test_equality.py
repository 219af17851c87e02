"""SQLite and PostgreSQL against memory: whatever is done to both, both say the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from livethread.errors import LivethreadError
from livethread_server.store.base import AnswerRecord, Page, Store
from livethread_server.store.memory import MemoryStore
from livethread_server.store.sql import SqlStore
from tests.fakes import a_change, a_run, a_thread, a_turn
from tests.postgres import PostgresServer

THREADS = st.sampled_from(["a", "A", "b\0"])
OWNERS = st.sampled_from(["alice", "bob\0"])
TURNS = st.lists(
    st.builds(
        lambda n, shift, content, tokens: a_turn(100 * shift + n, content, tokens, id=f"m{n}"),
        st.integers(0, 5),
        st.integers(-2, 2),
        st.text(max_size=8),
        st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=3).map(tuple),
    ),
    max_size=4,
    unique_by=lambda turn: turn.message.id,
)
RUNS = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "r3", "r4"]),
        st.sampled_from(["queued", "running", "finished"]),
        st.text(max_size=5),
    ),
    max_size=2,
)
ANSWERS = st.none() | st.builds(
    lambda principal, key, answer, expires: AnswerRecord(
        principal=principal, key=key, digest="d", answer=answer, expires=expires
    ),
    OWNERS,
    st.sampled_from(["k", "K", "k\0"]),
    st.binary(max_size=3),
    st.integers(0, 4).map(lambda days: days * 43200.0),
)


async def page(owner: str, limit: int, cursor: str | None, store: Store) -> Page:
    return await store.list(owner, limit, cursor)


class Both(RuleBasedStateMachine):
    """Does everything to a store in memory and to one at an address, and compares what they answer."""

    def __init__(self, address: Path | str, remove: Callable[[], None]) -> None:
        super().__init__()
        self.address, self.remove = address, remove
        self.runner = asyncio.Runner()
        self.memory = MemoryStore()
        self.sql = self.reopened()

    def reopened(self) -> SqlStore:
        store = SqlStore(self.address)
        self.runner.run(store.open())
        return store

    def both(self, call: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        said = [self.outcome(call(store)) for store in (self.memory, self.sql)]
        assert said[0] == said[1]
        return said[0]

    def outcome(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.runner.run(call)
        except LivethreadError as error:
            return type(error), str(error)

    @rule(thread=THREADS, owner=OWNERS, day=st.integers(1, 3), turns=TURNS)
    def create(self, thread: str, owner: str, day: int, turns: Any) -> None:
        new = a_thread(thread, owner=owner, updated_at=f"2026-01-0{day}T00:00:00Z")
        self.both(lambda store: store.create(new, turns))

    @rule(
        thread=THREADS,
        behind=st.sampled_from([0, 0, 0, 0, 1]),
        day=st.integers(1, 3),
        put=TURNS,
        drop=st.lists(st.sampled_from(["m1", "m2", "m3"]), max_size=2).map(tuple),
        runs=RUNS,
        events=st.lists(st.binary(max_size=3), max_size=3) | st.integers(200, 600).map(lambda number: [b"x"] * number),
        answer=ANSWERS,
    )
    def commit(self, thread: str, behind: int, day: int, runs: Any, **fields: Any) -> None:
        record = self.both(lambda store: store.load(thread))
        was = a_thread(thread) if isinstance(record, tuple) else record.thread
        was = msgspec.structs.replace(was, version=was.version - behind)
        records = tuple(a_run(run, thread, state, owner=was.owner, text=text) for run, state, text in runs)
        changed = {"updated_at": f"2026-01-0{day}T00:00:00Z"}
        fields["put"] = tuple(fields["put"])
        change = a_change(was, runs=records, thread=changed, **fields)
        self.both(lambda store: store.commit(change))

    @rule(thread=THREADS)
    def delete(self, thread: str) -> None:
        record = self.both(lambda store: store.load(thread))
        version, seq = (1, 0) if isinstance(record, tuple) else (record.thread.version, record.thread.seq)
        self.both(lambda store: store.delete(thread, version, seq))

    @rule(run=st.sampled_from(["r1", "r2", "r3"]), text=st.text(max_size=5))
    def flush(self, run: str, text: str) -> None:
        self.both(lambda store: store.flush(run, text, (1, 2)))

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sql.close())
        self.sql = self.reopened()

    @rule(thread=THREADS, principal=OWNERS, key=st.sampled_from(["k", "K", "k\0"]), now=st.integers(0, 172800))
    def answer(self, thread: str, principal: str, key: str, now: int) -> None:
        self.both(lambda store: store.answer(thread, principal, key, float(now)))

    @rule(thread=THREADS, after=st.integers(0, 700), limit=st.integers(1, 600))
    def events(self, thread: str, after: int, limit: int) -> None:
        self.both(lambda store: store.events(thread, after, limit))

    @rule(owner=OWNERS, limit=st.integers(1, 3))
    def pages(self, owner: str, limit: int) -> None:
        cursor = None
        for _ in range(4):
            cursor = self.both(partial(page, owner, limit, cursor)).cursor
            if cursor is None:
                return
        raise AssertionError("the pages have no end")

    @rule(owner=OWNERS, thread=st.none() | THREADS, limit=st.integers(0, 4))
    def runs(self, owner: str, thread: str | None, limit: int) -> None:
        self.both(lambda store: store.runs(owner, thread, limit))

    @invariant()
    def the_same_is_unfinished(self) -> None:
        self.both(lambda store: store.unfinished())

    def teardown(self) -> None:
        self.runner.run(self.sql.close())
        self.runner.close()
        self.remove()


def many(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_sqlite_says_what_memory_says() -> None:
    class WithSqlite(Both):
        def __init__(self) -> None:
            folder = Path(tempfile.mkdtemp())
            super().__init__(folder / "threads.db", partial(shutil.rmtree, folder))

    run_state_machine_as_test(WithSqlite, settings=many(50))


def test_postgresql_says_what_memory_says(postgres: PostgresServer) -> None:
    class WithPostgresql(Both):
        def __init__(self) -> None:
            url = postgres.create()
            super().__init__(url, partial(postgres.drop, url))

    run_state_machine_as_test(WithPostgresql, settings=many(6))
