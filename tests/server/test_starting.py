from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread_server import starting
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Submit
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "PAUSE", 0)


async def queued(house: House) -> Guest:
    """A guest that hears of run ``r``, which streams, and of ``r2``, which waits for it."""
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    return guest


def refuse(house: House, *refusals: ErrorCode) -> None:
    """Have the engine refuse its next submits."""
    left, take = list(refusals), house.engine.submit

    def refusing(submit: Submit) -> RunOutputs:
        if left:
            raise CommandError(left.pop(0), "Not now. Try again.")
        return take(submit)

    house.engine.submit = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize("code", [ErrorCode.QUEUE_FULL, ErrorCode.MODEL_LOADING])
async def test_a_run_that_waited_in_line_waits_for_the_engine_too(house: House, code: ErrorCode) -> None:
    guest = await queued(house)
    refuse(house, code, code)
    await guest.ask(wire.Cancel, run="r")
    await house.engine.taken("r2")
    house.engine.start("r2")
    house.engine.finish("r2")
    assert (await guest.next(wire.RunFinished, run="r2")).reason == "stop"


async def test_a_run_that_the_engine_refuses_for_good_ends(house: House) -> None:
    guest = await queued(house)
    refuse(house, ErrorCode.MODEL_UNAVAILABLE)
    await guest.ask(wire.Cancel, run="r")
    finished = await guest.next(wire.RunFinished, run="r2")
    assert finished.error is not UNSET
    assert finished.error.code == ErrorCode.MODEL_UNAVAILABLE


async def test_a_run_that_ends_while_it_waits_for_the_engine_is_not_started(house: House) -> None:
    guest = await queued(house)
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The engine is being started. Try again.")
    for run in ("r", "r2"):
        await guest.ask(wire.Cancel, run=run)
        await guest.next(wire.RunFinished, run=run)
    house.engine.trouble = None
    for _ in range(20):
        await asyncio.sleep(0)
    assert list(house.engine.submitted) == ["r"]


async def test_an_engine_that_dies_while_it_is_waited_for_is_waited_for_again(house: House) -> None:
    guest = await queued(house)
    troubles = [CommandError(ErrorCode.MODEL_LOADING, "The engine is being started again. Try again.")] * 2

    async def waiting() -> None:
        await asyncio.sleep(0)
        if troubles:
            raise troubles.pop()

    house.engine.wait_ready = waiting  # type: ignore[method-assign]
    await guest.ask(wire.Cancel, run="r")
    await house.engine.taken("r2")
    assert not troubles
