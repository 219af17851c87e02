"""A recorded session is cut behind every frame; whoever comes back sees what the one sees who stayed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from livethread.codec import convert, to_event
from livethread.messages import Event, RunFinished, SubscribeOk
from livethread.resume import Replica, followed, joined, resumed, since_of
from tests.serving import ServerProcess
from tests.wireclient import Map, WireClient, connected

ENDLESS = {"0": -1000, "2": -1000}
"""Keeps the model from ending its turn."""
PAUSE = 0.05
"""Seconds between two looks at what has come, so that no session asks too much."""


def append(content: str, **more: str) -> list[Map]:
    return [{"op": "append", "message": {"role": "user", "content": content, **more}}]


def event_of(plain: Map) -> Event:
    event = to_event(plain)
    assert event is not None
    return event


async def subscribed(client: WireClient, thread: str, **fields: Any) -> SubscribeOk:
    return convert(await client.ask("subscribe", thread=thread, **fields), SubscribeOk)


class Copy:
    """A connection with a copy of the thread; ``states`` are the copies behind each frame."""

    def __init__(self, client: WireClient, first: Replica) -> None:
        self._client = client
        self.states = [first]
        self._seen = 0

    async def listen(self) -> Replica:
        """Take in all that has come when the server answers a ping."""
        await self._client.ask("ping")
        for plain in self._client.events[self._seen :]:
            event = event_of(plain)
            if isinstance(event, RunFinished) and event.run == self.states[-1].run:
                self._check_text(event)
            self.states.append(followed(self.states[-1], event))
        self._seen = len(self._client.events)
        return self.states[-1]

    async def finished(self) -> Replica:
        """Listen until no run streams."""
        while (await self.listen()).run is not None:  # noqa: ASYNC110 - the server's word ends it
            await asyncio.sleep(PAUSE)
        return self.states[-1]

    def _check_text(self, event: RunFinished) -> None:
        streamed = next(one for one in self.states[-1].thread.messages if one.id == event.message.id)
        assert streamed.content == event.message.content


async def come_back(inside: AsyncExitStack, server: ServerProcess, encoding: str, cut: Replica) -> Copy:
    client = await inside.enter_async_context(connected(server.ws_url, encoding))
    ok = await subscribed(client, cut.thread.id, since=msgspec.to_builtins(since_of(cut)))
    assert ok.recovered
    return Copy(client, resumed(cut, ok))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_session_that_is_cut_anywhere_and_resumed_is_the_uncut_one(
    live_server: ServerProcess, encoding: str
) -> None:
    async with AsyncExitStack() as inside:
        client = await inside.enter_async_context(connected(live_server.ws_url, encoding))
        thread = (await client.ask("thread.create", sampling={"temperature": 0, "max_tokens": 12}))["thread"]["id"]
        uncut = Copy(client, joined(await subscribed(client, thread)))
        await client.ask("mutate", thread=thread, ops=append("Be brief.", id="m"))
        await client.say(thread, "Name a city.")
        await client.ask("mutate", thread=thread, ops=[{"op": "edit", "message": "m", "content": "Be long."}])
        again = (await client.ask("generate", thread=thread, mode="regenerate"))["run"]
        await client.event("run.finished", run=again)
        await client.ask("thread.update", thread=thread, title="Cities")
        sampling = {"max_tokens": 1000, "logit_bias": ENDLESS}
        long = (await client.ask("generate", thread=thread, ops=append("More."), sampling=sampling))["run"]
        await client.event("run.delta", run=long)
        while len(client.deltas(long)) < 8:
            await asyncio.sleep(PAUSE)
            await uncut.listen()
        others = [await come_back(inside, live_server, encoding, cut) for cut in uncut.states]
        await client.ask("cancel", run=long)
        assert all(other.states[0].run == long for other in others)
        ends = [await other.finished() for other in others]
        end = await uncut.finished()
        late = [await (await come_back(inside, live_server, encoding, cut)).listen() for cut in uncut.states]
        fresh = joined(await subscribed(client, thread))
        assert all(one == end for one in (*ends, *late, fresh))
        assert len(late) > 40
