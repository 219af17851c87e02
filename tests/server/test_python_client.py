"""The Python client with a real server: its live copy is the server's state."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

import livethread
from livethread import Draft
from tests.serving import ServerProcess


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_live_copy_is_the_servers_state(live_server: ServerProcess, codec: Literal["json", "msgpack"]) -> None:
    async with livethread.connect(live_server.ws_url, codec=codec) as client:
        thread = await client.create(messages=[Draft("system", "Be brief.", "s")])
        stream = thread.say("Say hello.", temperature=0, max_tokens=6)
        text = await stream.text()
        assert stream.message is not None
        assert text == stream.message.content == thread.messages[-1].content
        await thread.continue_(temperature=0, max_tokens=3).text()
        await thread.regenerate(temperature=0, max_tokens=3).text()
        await thread.edit("s", "Be long.")
        await thread.update(title="Greetings", metadata={"a": [1, None]})
        async for _ in thread.say("Tell me a long story.", temperature=0, max_tokens=400):
            break
        while thread.last is None or thread.last.state != "cancelled":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with livethread.connect(live_server.ws_url) as other:
            fresh = await other.thread(thread.id).attach()
        assert thread.value == fresh


async def test_who_joins_in_the_middle_of_a_run_reads_the_same_text(live_server: ServerProcess) -> None:
    async with (
        livethread.connect(live_server.ws_url) as client,
        livethread.connect(live_server.ws_url) as other,
    ):
        thread = await client.create()
        late = other.thread(thread.id)
        pieces = 0
        stream = thread.say("Tell me a long story.", temperature=0, max_tokens=16)
        async for _ in stream:
            pieces += 1
            if pieces == 5:
                await late.attach()
        await asyncio.gather(client.ping(), other.ping())
        assert late.value == thread.value
        assert late.last == stream.message
