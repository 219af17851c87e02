from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import UNSET

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.model import Reason
from livethread_server import runs
from livethread_server.engine.wire import Submit
from tests.fakes import UnsteadyStore
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FIRST_PAUSE", 0.001)


async def streaming(house: House) -> Guest:
    """A guest that hears run ``r``, which has said "Hi"."""
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.say("r", "Hi", (1,))
    await guest.next(wire.RunDelta)
    return guest


async def ends(guest: Guest) -> list[tuple[str, Reason]]:
    for _ in range(50):
        await asyncio.sleep(0)
    return [(event.run, event.reason) for event in await guest.heard() if isinstance(event, wire.RunFinished)]


@pytest.mark.parametrize("failures", [1, 3])
async def test_an_end_that_cannot_be_stored_is_told_once_it_can(
    unsteady_house: House, unsteady: UnsteadyStore, failures: int
) -> None:
    guest = await streaming(unsteady_house)
    unsteady.failures = failures
    unsteady_house.engine.finish("r")
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == ("stop", "Hi")
    assert await ends(guest) == [("r", "stop")]
    await guest.ask(wire.Generate, run="r2")


async def test_a_cancel_holds_although_the_store_fails(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest = await streaming(unsteady_house)
    unsteady.failures = 1
    await guest.ask(wire.Cancel, run="r")
    assert (await guest.next(wire.RunFinished)).reason == "cancelled"


async def test_a_start_that_cannot_be_stored_ends_the_run(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest = await unsteady_house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    unsteady.failures = 1
    unsteady_house.engine.start("r")
    finished = await guest.next(wire.RunFinished)
    assert finished.error is not UNSET
    assert (finished.reason, finished.error.code) == ("error", ErrorCode.INTERNAL)
    assert unsteady_house.engine.cancelled == ["r"]


async def test_stopping_leaves_to_the_next_start_what_cannot_be_stored(
    unsteady_house: House, unsteady: UnsteadyStore, caplog: pytest.LogCaptureFixture
) -> None:
    await streaming(unsteady_house)
    unsteady.failures = 1
    await unsteady_house.runs.stop()
    assert "could not be ended" in caplog.text
    assert [record.run.id for record in await unsteady.unfinished()] == ["r"]


async def test_cancel_timeout_and_finish_at_once_are_one_end(house: House) -> None:
    guest = await streaming(house)
    run = house.runs.get("r")
    assert run is not None
    house.engine.finish("r")
    house.runs.end_soon(run, "cancelled")
    house.runs.end_soon(run, "timeout")
    await guest.ask(wire.Generate, run="r2", if_busy="interrupt")
    assert len(await ends(guest)) == 1
    assert house.runs.get("r") is None


async def test_a_queued_run_that_the_engine_chokes_on_ends(house: House) -> None:
    def choke(submit: Submit) -> Any:
        raise ValueError("choked")

    guest = await streaming(house)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    house.engine.submit = choke  # type: ignore[method-assign]
    await guest.ask(wire.Cancel, run="r")
    finished = await guest.next(wire.RunFinished, run="r2")
    assert finished.error is not UNSET
    assert finished.error.code == ErrorCode.INTERNAL


async def test_a_queued_run_ends_where_the_engine_is_gone_for_good(house: House) -> None:
    guest = await streaming(house)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    house.engine.trouble = CommandError(ErrorCode.MODEL_UNAVAILABLE, "The model cannot be loaded. Choose another.")
    await guest.ask(wire.Cancel, run="r")
    finished = await guest.next(wire.RunFinished, run="r2")
    assert finished.error is not UNSET
    assert finished.error.code == ErrorCode.MODEL_UNAVAILABLE


@pytest.mark.parametrize("what", ["cancel", "start", "finish"])
async def test_whatever_races_with_a_delete_loses_in_silence(
    house: House, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    async with house.lanes.hold("t", None):
        deleting = asyncio.create_task(guest.ask(wire.ThreadDelete))
        await asyncio.sleep(0)
        if what == "cancel":
            house.service.cancel(guest.session, wire.Cancel(id=9, run="r"))
        elif what == "start":
            house.engine.start("r")
        else:
            house.engine.finish("r")
        for _ in range(5):
            await asyncio.sleep(0)
    await deleting
    assert await ends(guest) == [("r", "interrupted")]
    assert not caplog.records


async def test_whoever_joins_between_queued_and_started_hears_all_that_follows(house: House) -> None:
    guest, late = await house.listener(), house.guest()
    house.engine._room = 0
    await guest.ask(wire.Generate, run="r", ops=[USER])
    assert (await guest.next(wire.RunQueued)).position == 1
    joined = await late.ask(wire.Subscribe)
    assert (joined.run, joined.thread.messages[-1].state) == (UNSET, "queued")
    house.engine.start("r")
    house.engine.say("r", "Hi", (1,))
    house.engine.finish("r")
    await late.next(wire.RunFinished)
    assert [type(event) for event in late.told] == [wire.RunStarted, wire.RunDelta, wire.RunFinished]
    assert [event.seq for event in late.told if isinstance(event, wire.DurableEvent)] == [
        joined.seq + 1,
        joined.seq + 2,
    ]


async def test_a_run_whose_thread_is_deleted_while_it_waits_for_the_engine_is_withdrawn(house: House) -> None:
    guest = await house.listener()
    house.engine._room = 0
    ok = await guest.ask(wire.Generate, run="r", ops=[USER])
    assert ok.position == 1
    await guest.ask(wire.ThreadDelete)
    assert house.engine.cancelled == ["r"]
    assert await ends(guest) == [("r", "interrupted")]
    assert house.runs.waiting() == 0


async def test_a_server_that_goes_away_takes_no_run_and_lets_those_there_are_end(house: House) -> None:
    guest = await streaming(house)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    house.runs.close()
    with pytest.raises(CommandError) as refused:
        await guest.ask(wire.Generate, run="r3", if_busy="enqueue")
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.MODEL_UNAVAILABLE, True)
    assert house.service.trouble is not None
    idle = asyncio.create_task(house.runs.idle())
    house.engine.finish("r")
    await house.engine.taken("r2")
    assert not idle.done()
    house.engine.finish("r2")
    await idle
    assert await ends(guest) == [("r", "stop"), ("r2", "stop")]


async def test_what_a_server_that_goes_away_does_not_wait_for_is_interrupted(house: House) -> None:
    guest = await streaming(house)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    await house.runs.interrupt()
    assert await ends(guest) == [("r", "interrupted"), ("r2", "interrupted")]
    assert (await guest.next(wire.RunFinished, run="r")).message.content == "Hi"
    await house.runs.idle()
    assert list(house.engine.submitted) == ["r"]
