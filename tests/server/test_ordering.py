from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livethread import messages as wire
from livethread.messages import Command
from livethread_server.bounds import Bounds
from livethread_server.ordering import Ordering


class Work:
    """Commands that are carried out when the test says so."""

    def __init__(self, **bounds: Any) -> None:
        self.ordering = Ordering(Bounds(**bounds))
        self.begun: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}

    def start(self, command: Command, size: int = 1) -> None:
        self._ends[command.id] = asyncio.Event()
        self.ordering.start(command, size, self._carry_out)

    async def end(self, number: int) -> None:
        self._ends[number].set()
        for _ in range(5):
            await asyncio.sleep(0)

    async def _carry_out(self, command: Command) -> None:
        self.begun.append(command.id)
        await self._ends[command.id].wait()


def on(thread: str, number: int) -> Command:
    return wire.Unsubscribe(id=number, thread=thread)


async def test_commands_on_one_thread_wait_for_one_another_and_for_no_other() -> None:
    work = Work()
    work.start(on("a", 1))
    work.start(on("a", 2))
    work.start(on("b", 3))
    await asyncio.sleep(0)
    assert work.begun == [1, 3]
    await work.end(1)
    assert work.begun == [1, 3, 2]
    await work.end(2)
    await work.end(3)
    assert not work.ordering._last


@pytest.mark.parametrize(
    "command",
    [wire.ThreadCreate(id=2, thread="a"), wire.ThreadFork(id=2, thread="b", new_thread="a")],
    ids=["create", "fork"],
)
async def test_a_command_that_makes_a_thread_keeps_its_place_on_that(command: Command) -> None:
    work = Work()
    work.start(on("a", 1))
    work.start(command)
    work.start(on("a", 3))
    await work.end(1)
    assert work.begun == [1, 2]
    await work.end(2)
    assert work.begun == [1, 2, 3]
    await work.end(3)


async def test_a_command_about_no_thread_waits_for_all_before_it() -> None:
    work = Work()
    work.start(on("a", 1))
    work.start(wire.ThreadList(id=2))
    work.start(on("b", 3))
    work.start(wire.ThreadList(id=4))
    await asyncio.sleep(0)
    assert work.begun == [1, 3]
    await work.end(1)
    assert work.begun == [1, 3, 2]
    for number in (3, 2):
        await work.end(number)
    assert work.begun == [1, 3, 2, 4]
    await work.end(4)


async def test_a_cancel_waits_for_nothing() -> None:
    work = Work()
    work.start(on("a", 1))
    work.start(wire.Cancel(id=2, run="r"))
    await asyncio.sleep(0)
    assert work.begun == [1, 2]
    for number in (1, 2):
        await work.end(number)


async def test_it_is_full_in_number_or_in_bytes_until_something_ends() -> None:
    work = Work(commands_in_flight=2, bytes_in_flight=100)
    work.start(on("a", 1), 60)
    assert work.ordering.full(41)
    assert not work.ordering.full(40)
    work.start(on("a", 2), 1)
    assert work.ordering.full(1)
    await work.end(1)
    assert not work.ordering.full(99)
    await work.end(2)
