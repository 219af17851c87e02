"""Finished tasks of several principals in little room."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from livethread.model import Principal
from livethread.tasks import Task
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.kept import Kept
from livethread_server.tasks.kinds.tokens import CountTokens
from livethread_server.tasks.live_task import LiveTask

COUNT, BYTES = 8, 1000


class Room:
    """A `Kept` and what was forgotten of it."""

    def __init__(self) -> None:
        self.kept = Kept(TaskBounds(tasks_kept=COUNT, task_result_bytes=BYTES), self._forget)
        self.there: list[LiveTask] = []
        self._numbers = itertools.count()

    def end(self, owner: str, size: int = 1) -> None:
        """A task of somebody's ends, with a result of so many bytes."""
        number = next(self._numbers)
        task = Task(
            id=f"{owner}{number}",
            kind="count-tokens",
            state="queued",
            model="smol",
            instance="i_1",
            by=Principal(owner, owner),
            timeout_ms=None,
            created_at="",
        )
        live = LiveTask(task, CountTokens(), number, "", None)
        live.result_bytes = size
        live.end("done")
        self.there.append(live)
        self.kept.add(live)

    def _forget(self, live: LiveTask) -> None:
        self.there.remove(live)

    @property
    def ids(self) -> list[str]:
        return [live.id for live in self.there]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    room.kept.close()


async def test_one_who_is_alone_may_have_all_and_loses_the_oldest(room: Room) -> None:
    for _ in range(COUNT + 3):
        room.end("a")
    assert room.ids == [f"a{number}" for number in range(3, COUNT + 3)]
    room.end("a", BYTES - 1)
    assert (room.ids, room.kept.bytes) == (["a10", "a11"], BYTES)


async def test_who_makes_many_pushes_out_nobody_elses(room: Room) -> None:
    room.end("b")
    for _ in range(100):
        room.end("a")
    assert room.ids == ["b0", *(f"a{number}" for number in range(94, 101))]


async def test_who_makes_large_ones_pushes_out_nobody_elses(room: Room) -> None:
    room.end("b", 100)
    for _ in range(3):
        room.end("a", 600)
    assert (room.ids, room.kept.bytes) == (["b0", "a3"], 700)
    room.end("a", BYTES)  # it does not fit beside the other's, so it is not kept
    assert (room.ids, room.kept.bytes, len(room.kept)) == (["b0"], 100, 1)


async def test_of_those_who_have_too_much_the_oldest_goes(room: Room) -> None:
    room.end("a", 550)
    room.end("c", 10)
    room.end("b", 580)
    assert room.ids == ["c1", "b2"]


async def test_everybody_gets_an_equal_share(room: Room) -> None:
    for _ in range(COUNT):
        room.end("a")
    for _ in range(COUNT):
        room.end("b")
    assert [task[0] for task in room.ids] == ["a"] * (COUNT // 2) + ["b"] * (COUNT // 2)
