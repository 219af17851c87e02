"""A fake engine that answers whatever it is asked, for tests of those who ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from livethread_server.engine.wire import Logprob
from tests.house import FakeEngine

WORDS = ("Good", " day", ".")


@asynccontextmanager
async def answering(engine: FakeEngine, words: Sequence[str] = WORDS) -> AsyncIterator[None]:
    """While the block lasts every run says ``words``, one token each, or takes the tokens that are forced on it."""
    work = asyncio.create_task(_answer(engine, words))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def _answer(engine: FakeEngine, words: Sequence[str]) -> None:
    while True:
        for run in engine.unfinished:
            answer(engine, run, words)
        await asyncio.sleep(0.001)


def answer(engine: FakeEngine, run: str, words: Sequence[str] = WORDS) -> None:
    """Say ``words`` in a run and end it. A forced token is as likely as its id says: e to the minus id / 1000."""
    submit = engine.submitted[run]
    engine.start(run)
    for index, word in enumerate(() if submit.forced else words):
        probed = () if submit.sampling.logprobs is None else (Logprob(-1.0, ((7, -0.5),)),)
        engine.say(run, word, (index + 1,), probed)
    for token in submit.forced:
        engine.say(run, "?", (token,), (Logprob(-token / 1000),))
    engine.finish(run, "length" if submit.forced else "stop")
