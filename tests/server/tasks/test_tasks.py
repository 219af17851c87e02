"""The life of tasks, over an engine whose words the test gives."""

from __future__ import annotations

import asyncio

from livethread.model import Principal
from tests.house import House

ALICE = Principal("alice", "Alice")


async def test_a_chat_is_answered(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", {"messages": [{"role": "user", "content": "Hi."}]})
    assert live.state == "queued"
    (run,) = house.engine.unfinished
    house.engine.start(run)
    house.engine.say(run, "Hel", (1, 2))
    news = [said async for said in news_of(live)]

    async def end() -> None:
        house.engine.say(run, "lo", (3,))
        house.engine.finish(run)

    await end()
    task = await live.ended()
    print(task, news)
    assert task.state == "done"
    assert task.result.choices[0].content == "Hello"


async def news_of(live):
    async for said in live.news():
        yield said
        break
