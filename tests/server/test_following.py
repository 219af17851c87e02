from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.model import Alternative, TokenLogprob
from livethread_server import following
from livethread_server.engine.wire import Logprob
from tests.fakes import UnsteadyStore
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FLUSH_SECONDS", 0)


async def started(house: House) -> Guest:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    await guest.next(wire.RunStarted)
    return guest


async def say(house: House, guest: Guest, text: str, token: int) -> None:
    """Say it, and wait until it was heard and its flush was tried."""
    house.engine.say("r", text, (token,))
    await guest.next(wire.RunDelta, text=text)
    for _ in range(10):
        await asyncio.sleep(0)


async def flushed(house: House) -> tuple[str, tuple[int, ...]]:
    record = await house.store.run("r")
    assert record is not None
    return record.text, record.tokens


async def test_text_is_stored_while_it_grows(house: House) -> None:
    guest = await started(house)
    await say(house, guest, "Once", 1)
    assert await flushed(house) == ("Once", (1,))
    await say(house, guest, " upon", 2)
    assert await flushed(house) == ("Once upon", (1, 2))


async def test_text_is_not_stored_more_often_than_agreed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FLUSH_SECONDS", 3600)
    guest = await started(house)
    await say(house, guest, "Once", 1)
    assert await flushed(house) == ("", ())


async def test_a_flush_that_fails_is_made_good_by_the_next_and_ends_nothing(
    unsteady_house: House, unsteady: UnsteadyStore, caplog: pytest.LogCaptureFixture
) -> None:
    guest = await started(unsteady_house)
    unsteady.flushes = 1
    await say(unsteady_house, guest, "Once", 1)
    assert await flushed(unsteady_house) == ("", ())
    assert "the text of run r could not be stored" in caplog.text
    assert "Once" not in caplog.text
    await say(unsteady_house, guest, " upon", 2)
    assert await flushed(unsteady_house) == ("Once upon", (1, 2))
    unsteady_house.engine.finish("r")
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == ("stop", "Once upon")


async def test_progress_is_told(house: House) -> None:
    guest = await started(house)
    house.engine.progress("r", 5, 20)
    told = await guest.next(wire.RunProgress)
    assert (told.cached, told.processed, told.total) == (0, 5, 20)


@pytest.mark.parametrize("trouble", [None, CommandError(ErrorCode.MODEL_LOADING, "It died. Try again.")])
async def test_an_error_of_the_engine_is_ours_or_that_of_a_model_that_is_gone(
    house: House, trouble: CommandError | None
) -> None:
    guest = await started(house)
    house.engine.trouble = trouble
    house.engine.finish("r", "error", "The engine was ended by SIGKILL.")
    finished = await guest.next(wire.RunFinished)
    assert finished.error is not UNSET
    assert finished.error.code == (ErrorCode.MODEL_UNAVAILABLE if trouble else ErrorCode.INTERNAL)


async def test_logprobs_are_told_where_the_run_asked_for_them(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER], sampling={"logprobs": 1})
    house.engine.start("r")
    (token,) = house.vocabulary.tokenize(" once", special=False)
    house.engine.say("r", " once", (token,), (Logprob(-0.25, ((token, -0.25),)),))
    told = await guest.next(wire.RunDelta)
    alternative = Alternative(token, " once", tuple(b" once"), -0.25)
    assert told.logprobs == (TokenLogprob(token, " once", tuple(b" once"), -0.25, (alternative,)),)
    house.engine.say("r", "h", ())  # text whose token is not wholly out yet
    assert (await guest.next(wire.RunDelta, text="h")).logprobs == ()


async def test_a_long_delta_with_logprobs_is_told_in_parts_that_touch(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER], sampling={"logprobs": 0})
    house.engine.start("r")
    house.engine.say("r", "a long text", tuple(range(100, 300)), tuple(Logprob(-float(at)) for at in range(200)))
    await guest.next(wire.RunDelta, to=200)
    deltas = [event for event in await guest.heard() if isinstance(event, wire.RunDelta)]
    assert [(one.start, one.to, one.text) for one in deltas] == [
        *((0, 64, "a long text"), (64, 128, "")),
        *((128, 192, ""), (192, 200, "")),
    ]
    told = [one for delta in deltas if delta.logprobs for one in delta.logprobs]
    assert [(one.token, one.logprob) for one in told] == [(100 + at, -float(at)) for at in range(200)]


async def test_who_did_not_ask_is_told_no_logprobs(house: House) -> None:
    guest = await started(house)
    house.engine.say("r", "Once", (1,))
    assert (await guest.next(wire.RunDelta)).logprobs is UNSET
