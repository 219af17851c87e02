from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from msgspec import UNSET

from livethread.messages import TaskDelta, TaskUpdated
from livethread.model import Principal, TokenLogprob
from livethread.tasks import TaskProgress
from livethread_server.tasks import telling
from livethread_server.tasks.said import Said
from livethread_server.tasks.telling import LOGPROBS_AT_ONCE, deltas, told
from tests.house import House

ALICE = Principal("alice", "Alice")
CHAT = {"messages": [{"role": "user", "content": "Hi."}]}


def test_text_is_one_event() -> None:
    (delta,) = deltas("t", Said(1, 5, 500, "text", tuple(range(495))))
    assert (delta.task, delta.choice, delta.start, delta.to, delta.text, delta.logprobs) == (
        "t",
        1,
        5,
        500,
        "text",
        UNSET,
    )


def test_text_that_comes_before_its_tokens_is_one_too() -> None:
    (delta,) = deltas("t", Said(0, 5, 5, "text", ()))
    assert (delta.start, delta.to, delta.text) == (5, 5, "text")


def test_many_logprobs_come_in_parts_that_join() -> None:
    tokens = tuple(range(150))
    logprobs = tuple(TokenLogprob(token, "", (), -1.0) for token in tokens)
    parts = list(deltas("t", Said(0, 10, 160, "text", tokens, logprobs)))
    assert [(part.start, part.to) for part in parts] == [(10, 74), (74, 138), (138, 160)]
    assert [part.text for part in parts] == ["text", "", ""]
    joined = tuple(one for part in parts if part.logprobs is not UNSET for one in part.logprobs)
    assert joined == logprobs
    assert LOGPROBS_AT_ONCE == 64


async def test_changes_are_told_but_not_too_often(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "UPDATE_SECONDS", 0.02)
    live = await house.tasks.create(ALICE, "chat-completion", CHAT)
    (run,) = house.engine.unfinished
    events = told(live)
    first = await anext(events)
    assert isinstance(first, TaskUpdated)
    assert first.task.state == "queued"
    house.engine.start(run)
    for done in range(1, 21):
        house.engine.progress(run, done, 20)
        await asyncio.sleep(0)
    second = await anext(events)
    assert isinstance(second, TaskUpdated)
    assert (second.task.state, second.task.progress) == ("running", TaskProgress("prompt", 20, 20))
    house.engine.say(run, "Hi", (1,))
    house.engine.finish(run)
    rest = [event async for event in events]
    assert [type(event) for event in rest][-2:] == [TaskDelta, TaskUpdated]
    assert isinstance(rest[-1], TaskUpdated)
    assert rest[-1].task == live.shown()


async def test_a_place_in_the_queue_is_told_as_it_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UPDATE_SECONDS", "POSITION_SECONDS"):
        monkeypatch.setattr(telling, name, 0.01)
    live = await house.tasks.create(ALICE, "chat-completion", CHAT)
    outputs = house.engine._outputs[house.engine.unfinished[0]]
    outputs.position = 5
    async with aclosing(told(live)) as events:
        for position in (5, 3):
            outputs.position = position
            event = await anext(events)
            assert isinstance(event, TaskUpdated)
            assert event.task.position == position


async def test_a_result_may_be_left_out(house: House) -> None:
    live = await house.tasks.create(ALICE, "tokenize", {"content": "Hi."})
    (event,) = [event async for event in told(live, result_bytes=3)]
    assert isinstance(event, TaskUpdated)
    assert (event.task.state, event.task.result) == ("done", None)
