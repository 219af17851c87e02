"""Sequences of frames and commands that no client sends, and some that one might."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.codec import CODECS
from livethread.messages import ThreadDelete, ThreadList
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.fuzzing import EXAMPLES, PROLOGUE, STEPS, Fuzz
from tests.house import House, closing


@EXAMPLES
@given(steps=STEPS, subprotocol=st.sampled_from(sorted(CODECS)))
def test_nothing_that_is_sent_makes_the_server_fail_hang_or_keep_something(
    vocabulary: Vocabulary, model_path: Path, steps: Sequence[Any], subprotocol: str
) -> None:
    asyncio.run(_fuzz(House(MemoryStore(), vocabulary, GrammarCheck(model_path), lanes=2), steps, subprotocol))


async def _fuzz(house: House, steps: Sequence[Any], subprotocol: str) -> None:
    async for _ in closing(house):
        fuzz = Fuzz(house, CODECS[subprotocol])
        for step in (*PROLOGUE, *steps):
            await fuzz.do(step)
        await fuzz.settle()
        await _nothing_is_left(house, fuzz)


async def _nothing_is_left(house: House, fuzz: Fuzz) -> None:
    """Without sessions nobody listens; without threads nothing is kept."""
    async with asyncio.timeout(20):
        while house.runs._live:  # noqa: ASYNC110 - there is nothing to wait for but time
            await asyncio.sleep(0.001)
        host = house.guest("default")
        for thread in (await host.ask(ThreadList, limit=200)).threads:
            await host.ask(ThreadDelete, thread=thread.id)
        while _in_use(house):  # noqa: ASYNC110 - whoever waited for the thread hears that it is gone
            await asyncio.sleep(0.001)
    assert not fuzz.door._open
    assert not fuzz.door._sessions
    assert not house.hub._threads
    assert not house.hub._pauses
    assert not (await host.ask(ThreadList)).threads


def _in_use(house: House) -> bool:
    return any(lane.loaded or lane.users for lane in house.lanes._lanes.values())


@pytest.fixture(autouse=True, scope="module")
def _tidy() -> Any:
    """Cycles of many examples are collected before others look at warnings."""
    yield
    gc.collect()
