"""The service over a PostgreSQL that goes away and comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livethread import messages as wire
from livethread.replica import apply, begin
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.base import Unusable
from livethread_server.store.sql import SqlStore
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing
from tests.postgres import PostgresServer
from tests.postgres_proxy import Loss, PostgresProxy

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


@pytest.fixture
async def stored_house(vocabulary: Vocabulary, model_path: Path, postgres_url: str) -> AsyncIterator[House]:
    grammars = GrammarCheck(model_path)
    async for house in closing(House(SqlStore(postgres_url), vocabulary, grammars)):
        yield house
    await grammars.stop()


async def test_a_run_that_ends_while_the_database_is_away_ends_when_it_is_back(
    stored_house: House, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    guest = await stored_house.listener()
    joined = await guest.ask(wire.Subscribe)
    seen = begin(joined.thread, joined.run)
    await guest.ask(wire.Generate, run="r", ops=[USER])
    stored_house.engine.start("r")
    stored_house.engine.say("r", "Hi", (1, 2))
    await guest.next(wire.RunDelta)
    await asyncio.to_thread(postgres.stop)
    with caplog.at_level(logging.ERROR):
        stored_house.engine.finish("r")
        with pytest.raises(Unusable, match="Make sure that PostgreSQL runs there"):
            await guest.ask(wire.ThreadUpdate, title="Away")
        await asyncio.to_thread(postgres.start)
        finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == ("stop", "Hi")
    assert (await guest.ask(wire.ThreadUpdate, title="Back")).version == 2
    for event in await guest.heard():
        seen = apply(seen, event)
    assert seen == (await stored_house.guest().ask(wire.ThreadGet)).thread
    assert await stored_house.store.unfinished() == ()


@pytest.mark.parametrize("loss", ["command", "answer"])
async def test_a_run_whose_storing_breaks_off_is_accepted_started_and_ended_once(
    vocabulary: Vocabulary, model_path: Path, postgres: PostgresServer, postgres_url: str, loss: Loss
) -> None:
    proxy, grammars = PostgresProxy(postgres.port), GrammarCheck(model_path)
    await proxy.start()
    async for house in closing(House(SqlStore(proxy.url(postgres_url)), vocabulary, grammars)):
        guest = await house.listener()
        joined = await guest.ask(wire.Subscribe)
        seen = begin(joined.thread, joined.run)
        proxy.losses = [loss]
        assert (await guest.ask(wire.Generate, run="r", ops=[USER])).version == 1
        proxy.losses = [loss]
        house.engine.start("r")
        await guest.next(wire.RunStarted)
        proxy.losses = [loss]
        house.engine.finish("r")
        assert (await guest.next(wire.RunFinished)).reason == "stop"
        assert proxy.losses == []
        for event in await guest.heard():
            seen = apply(seen, event)
        assert seen == (await guest.ask(wire.ThreadGet)).thread
        assert await house.store.unfinished() == ()
    await grammars.stop()
    await proxy.stop()
