from __future__ import annotations

import asyncio

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.questions import Questions
from livethread_server.engine.wire import Settled, Stats


async def test_each_question_gets_its_own_answer() -> None:
    questions = Questions()
    one, two = questions.number(), questions.number()
    waiting = asyncio.gather(questions.answer(one), questions.answer(two))
    await asyncio.sleep(0)
    questions.settle(Stats(two, {}))
    questions.settle(Settled(one, "t", "disk"))
    assert tuple(await waiting) == (Settled(one, "t", "disk"), Stats(two, {}))


async def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    Questions().settle(Stats(7, {}))


async def test_the_end_of_the_process_answers_every_question() -> None:
    questions = Questions()
    waiting = asyncio.create_task(questions.answer(questions.number()))
    await asyncio.sleep(0)
    questions.close()
    with pytest.raises(CommandError) as refused:
        await waiting
    assert refused.value.code is ErrorCode.MODEL_UNAVAILABLE
