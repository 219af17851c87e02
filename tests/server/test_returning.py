"""The Python client and the real service, with a wire between them that is cut at every frame."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import livethread
from livethread import Backoff
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.sql import SqlStore
from livethread_server.vocabulary import Vocabulary
from tests.cutting import Wire, wire_to
from tests.house import FakeEngine, House, closing
from tests.socketry import opened


@pytest.fixture(params=["sqlite"])
async def stored_house(
    request: pytest.FixtureRequest, vocabulary: Vocabulary, model_path: Path, tmp_path: Path
) -> AsyncIterator[House]:
    """A house over SQLite, or over PostgreSQL where the test says so."""
    grammars = GrammarCheck(model_path)
    address = tmp_path / "threads.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async for house in closing(House(SqlStore(address), vocabulary, grammars)):
        yield house
    await grammars.stop()


async def speak(engine: FakeEngine) -> None:
    """Say the same in every run."""
    over = 0
    while True:
        for run in list(engine.submitted)[over:]:
            over += 1
            engine.start(run)
            for token, word in enumerate(("Good", " day", ".")):
                await asyncio.sleep(0.002)
                engine.say(run, word, (token,))
            engine.finish(run)
        await asyncio.sleep(0.001)


@asynccontextmanager
async def speaking(house: House) -> AsyncIterator[Wire]:
    """A wire to a house whose engine speaks."""
    async with opened(house) as doors, wire_to(doors.ws_url) as wire:
        voice = asyncio.create_task(speak(house.engine))
        yield wire
        voice.cancel()


async def converse(wire: Wire, name: str) -> None:
    """A conversation that must come out the same, whatever the wire does."""
    async with livethread.connect(wire.url, reconnect=Backoff(random=lambda: 0.0)) as client:
        thread = await client.create(thread=name)
        assert await thread.say("Hello").text() == "Good day."
        await thread.append("Thanks.", message="thanks")
        await thread.edit("thanks", "Thank you.")
        fork = await thread.fork()
        assert await thread.say("Again").text() == "Good day."
        await client.ping()
        stored = (await thread.get()).thread
        assert [one.content for one in stored.messages] == ["Hello", "Good day.", "Thank you.", "Again", "Good day."]
        assert thread.value == stored
        assert stored.version == 4
        assert len((await fork.get()).thread.messages) == 3


async def test_a_cut_at_any_frame_changes_nothing(stored_house: House) -> None:
    async with speaking(stored_house) as wire:
        for cut in itertools.count(2):  # behind the first hello: before it nothing is to be taken up
            wire.cuts, wire.connections = [cut], 0
            await converse(wire, f"t{cut}")
            if wire.connections == 1:
                break  # the conversation has no more frames than that
        assert cut > 25
        made = 2 * (cut - 1)
        async with livethread.connect(wire.url) as client:
            assert len([thread async for thread in client.threads()]) == made
            assert len(stored_house.engine.submitted) == made


@pytest.mark.parametrize("stored_house", ["sqlite", "postgresql"], indirect=True)
async def test_cuts_in_a_row_change_nothing_either(stored_house: House) -> None:
    async with speaking(stored_house) as wire:
        for turn, cuts in enumerate(([2, 3, 4, 5, 6], [3] * 7, [5, 4, 3, 3, 3, 4], [9, 2, 7, 2])):
            wire.cuts = list(cuts)
            await converse(wire, f"t{turn}")


async def test_watching_and_presence_outlive_a_cut(stored_house: House) -> None:
    async with speaking(stored_house) as wire:
        backoff = Backoff(random=lambda: 0.0)
        async with (
            livethread.connect(wire.url, reconnect=backoff) as client,
            livethread.connect(wire.url, reconnect=backoff) as other,
        ):
            lists = client.watch()
            assert await anext(lists) == ()
            thread = await other.create(title="Rome")
            assert [one.title for one in await anext(lists)] == ["Rome"]
            seen = client.thread(thread.id)
            await asyncio.gather(thread.attach(), seen.attach())
            await thread.presence(typing=True)
            while [one.typing for one in seen.here] != [True]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await thread.update(title="Paris")
            while [one.title for one in await anext(lists)] != ["Paris"]:
                pass
