from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ThreadCreate, ThreadDelete, ThreadFork
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing


@pytest.fixture
async def small(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house in which everybody may have two threads."""
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), threads=2)):
        yield house


async def test_threads_above_a_principals_share_are_refused_until_one_is_deleted(small: House) -> None:
    alice = small.guest()
    for thread in ("t1", "t2"):
        await alice.ask(ThreadCreate, thread=thread)
    for ask in (alice.ask(ThreadCreate, thread="t3"), alice.ask(ThreadFork, thread="t1", new_thread="t3")):
        with pytest.raises(CommandError) as refused:
            await ask
        assert refused.value.code is ErrorCode.RATE_LIMITED
        assert refused.value.details == {"threads": 2}
    await small.guest("bob").ask(ThreadCreate, thread="bobs")
    await alice.ask(ThreadDelete, thread="t1")
    await alice.ask(ThreadFork, thread="t2", new_thread="t3")


async def test_whoever_has_as_many_threads_as_may_be_still_gets_those_there_are(small: House) -> None:
    alice = small.guest()
    for thread in ("t1", "t2"):
        await alice.ask(ThreadCreate, thread=thread)
    assert (await alice.ask(ThreadCreate, thread="t1", if_exists="get")).thread.id == "t1"
    with pytest.raises(CommandError) as refused:
        await alice.ask(ThreadCreate, thread="t1")
    assert refused.value.code is ErrorCode.EXISTS
