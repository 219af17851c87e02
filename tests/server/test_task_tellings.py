"""Which tasks a session is told of, with a socket that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from livethread import messages as wire
from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.task_commands import TaskCommands
from livethread_server.task_tellings import WAITING_BYTES, room
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.vocabulary import Vocabulary
from tests.house import Guest, House, closing

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}
MOST = 2


@pytest.fixture
async def house(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house where each principal has few unfinished tasks."""
    bounds = TaskBounds(tasks_per_principal=MOST)
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), task_bounds=bounds)):
        yield house


def commands(house: House) -> TaskCommands:
    return house.service._task_commands


def told(house: House, guest: Guest) -> int:
    return commands(house).tellings.count(guest.session)


async def make(guest: Guest, task: str) -> None:
    await guest.ask(wire.TaskCreate, kind="chat-completion", input=CHAT, task=task, stream=True)


async def nothing_told(house: House, guest: Guest) -> None:
    async with asyncio.timeout(10):
        while told(house, guest):  # noqa: ASYNC110 - it takes a few turns of the loop
            await asyncio.sleep(0)


async def test_a_creation_that_is_repeated_is_told_once(house: House) -> None:
    guest = house.guest()
    for _ in range(5):
        await make(guest, "t")
    assert told(house, guest) == 1
    (run,) = house.engine.unfinished
    for index, text in enumerate(("a", "b", "c")):
        house.engine.say(run, text, (index,))
        await asyncio.sleep(0)
    house.engine.finish(run)
    await nothing_told(house, guest)
    frames = await guest.session.outbox.take()
    events = [msgspec.json.decode(frame, type=wire.TaskUpdated | wire.TaskDelta) for frame in frames]
    assert "".join(event.text for event in events if isinstance(event, wire.TaskDelta)) == "abc"
    await make(guest, "t")  # now it is over, and may be told once more
    await nothing_told(house, guest)
    assert len(await guest.session.outbox.take()) == 2


async def test_two_sessions_are_told_of_one_task(house: House) -> None:
    first, second = house.guest(), house.guest()
    await make(first, "t")
    await make(second, "t")
    assert (told(house, first), told(house, second)) == (1, 1)


async def test_a_session_is_told_of_so_many_tasks_at_once(house: House) -> None:
    guest = house.guest()
    guest.session.outbox.offer("x" * (WAITING_BYTES + 1))
    for task in ("a", "b"):
        await make(guest, task)
        await guest.ask(wire.TaskCancel, task=task)
    assert told(house, guest) == MOST
    with pytest.raises(CommandError) as caught:
        await make(guest, "c")
    assert (caught.value.code, caught.value.details["limit"]) == (ErrorCode.RATE_LIMITED, MOST)
    assert [task.id for task in house.tasks.list(guest.session.principal).tasks] == ["b", "a"]
    await make(guest, "a")  # it is told of that already
    await guest.session.outbox.take()
    await nothing_told(house, guest)
    await make(guest, "c")


async def test_nothing_is_told_behind_the_end_of_a_session(house: House) -> None:
    guest = house.guest()
    await make(guest, "t")
    guest.session.outbox.offer("x" * (WAITING_BYTES + 1))
    (run,) = house.engine.unfinished
    house.engine.say(run, "a", (1,))
    await asyncio.sleep(0.01)
    waiting = guest.session.outbox.waiting_bytes
    house.service.leave(guest.session)
    await nothing_told(house, guest)
    assert guest.session.outbox.waiting_bytes == waiting
    await make(guest, "t")  # it was under way as the session ended
    assert told(house, guest) == 0
    assert house.engine.unfinished == [run]


async def test_nobody_waits_for_room_in_a_socket_that_is_closed(house: House) -> None:
    guest = house.guest()
    guest.session.outbox.offer("x" * (WAITING_BYTES + 1))
    waiting = asyncio.create_task(room(guest.session))
    await asyncio.sleep(0)
    guest.session.outbox.close(CloseCode.GOING_AWAY, "the client is gone")
    assert await waiting is False
    assert await room(house.guest().session) is True
