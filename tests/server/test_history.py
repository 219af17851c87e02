from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread_server.history import History, HistoryBounds, told_since
from livethread_server.store.base import EVENTS_KEPT, EventRecord
from livethread_server.store.memory import MemoryStore
from tests.fakes import a_change, a_thread


def records(first: int, last: int, body: bytes = b"{}") -> list[EventRecord]:
    return [EventRecord(seq, body) for seq in range(first, last + 1)]


def seqs(found: tuple[EventRecord, ...] | None) -> list[int] | None:
    return None if found is None else [record.seq for record in found]


async def a_store(events: int) -> MemoryStore:
    """A store with a thread that has so many events, told one by one."""
    store, thread = MemoryStore(), a_thread(version=0)
    await store.create(thread, ())
    for _ in range(events):
        change = a_change(thread, events=(b"{}",))
        await store.commit(change)
        thread = change.thread
    return store


def test_the_newest_events_are_at_hand() -> None:
    history = History(HistoryBounds(events=3, bytes=100))
    history.add(records(1, 5))
    assert seqs(history.after(2, 5)) == [3, 4, 5]
    assert seqs(history.after(5, 5)) == []
    assert history.after(1, 5) is None
    assert history.after(4, 6) is None


def test_bytes_are_bounded_too() -> None:
    history = History(HistoryBounds(events=100, bytes=10))
    history.add(records(1, 4, b"four"))
    assert seqs(history.after(2, 4)) == [3, 4]
    history.add(records(5, 5, b"longer than all"))
    assert history.after(4, 5) is None
    history.add(records(6, 6))
    assert seqs(history.after(5, 6)) == [6]


def test_another_life_of_the_thread_begins_with_nothing() -> None:
    history = History(HistoryBounds())
    history.add(records(1, 5))
    history.add(records(1, 2))
    assert seqs(history.after(0, 2)) == [1, 2]
    assert history.after(0, 5) is None


@given(st.lists(st.integers(1, 4), max_size=20), st.integers(0, 10), st.integers(0, 20))
def test_what_is_found_is_without_a_gap(parts: list[int], events: int, size: int) -> None:
    history, last = History(HistoryBounds(events, size)), 0
    for part in parts:
        history.add(records(last + 1, last + part))
        last += part
    for seq in range(last + 1):
        assert seqs(history.after(seq, last)) in (None, list(range(seq + 1, last + 1)))


@pytest.mark.parametrize("events", [0, 128])
async def test_what_is_not_at_hand_is_read_from_the_store(events: int) -> None:
    store, history = await a_store(9), History(HistoryBounds(events=events))
    assert seqs(await told_since(store, history, "t", 4, 9)) == [5, 6, 7, 8, 9]
    assert seqs(await told_since(store, history, "t", 9, 9)) == []


async def test_nothing_is_told_in_part() -> None:
    store, history = await a_store(EVENTS_KEPT + 2), History(HistoryBounds())
    last = EVENTS_KEPT + 2
    assert await told_since(store, history, "t", last + 1, last) is None
    assert await told_since(store, history, "t", 1, last) is None
    assert await told_since(store, history, "unknown", 1, 2) is None
    found = await told_since(store, history, "t", 2, last)
    assert found is not None
    assert len(found) == EVENTS_KEPT
