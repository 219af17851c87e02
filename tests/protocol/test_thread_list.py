"""A list of threads that is told of changes."""

from __future__ import annotations

import asyncio

import pytest

from livethread.errors import ConnectionClosed
from livethread.messages import ThreadChanged, ThreadCreated, ThreadGone
from livethread.model import Thread
from livethread.thread_list import ThreadTable


def thread(name: str, at: int = 0, title: str | None = None) -> Thread:
    return Thread(
        id=name, title=title, model="m", version=0, seq=0, epoch="e", owner="p", created_at="", updated_at=f"{at:03}"
    )


def listed(*threads: Thread) -> ThreadTable:
    table = ThreadTable()
    table.clear()
    for one in threads:
        table.list(one)
    return table


def test_the_newest_change_is_first() -> None:
    table = listed(thread("a", 1), thread("b", 2))
    table.take(ThreadChanged(thread="a", summary=thread("a", 3, "A")))
    table.take(ThreadCreated(thread="c", summary=thread("c", 2)))
    assert [one.id for one in table.threads] == ["a", "c", "b"]
    table.take(ThreadGone(thread="a"))
    assert [one.id for one in table.threads] == ["c", "b"]


def test_what_is_told_while_the_list_is_asked_for_holds() -> None:
    table = ThreadTable()
    table.clear()
    table.take(ThreadChanged(thread="a", summary=thread("a", 5, "new")))
    table.take(ThreadGone(thread="b"))
    for old in (thread("a", 1, "old"), thread("b", 1), thread("c", 1)):
        table.list(old)
    assert [(one.id, one.title) for one in table.threads] == [("a", "new"), ("c", None)]


async def test_changes_are_waited_for_and_a_miss_is_one() -> None:
    table = listed()
    waiting = asyncio.create_task(table.change())
    await asyncio.sleep(0)
    assert not waiting.done()
    table.take(ThreadCreated(thread="a", summary=thread("a")))
    await waiting
    assert not table.stale
    table.miss()
    await table.change()
    assert table.stale


async def test_the_end_is_raised() -> None:
    table = listed()
    table.end(ConnectionClosed(4500))
    with pytest.raises(ConnectionClosed):
        await table.change()
