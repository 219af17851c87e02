from __future__ import annotations

import asyncio
import itertools
import traceback

import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode, LivethreadError
from livethread_server import runs
from tests.fakes import UnsteadyStore
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


async def refused(guest: Guest, **fields: object) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await guest.ask(wire.Generate, **fields)
    return caught.value


async def shape(guest: Guest) -> list[tuple[str, str]]:
    return [(m.id, m.content) for m in (await guest.ask(wire.ThreadGet)).thread.messages]


async def test_one_run_id_asked_for_on_two_threads_at_once_is_one_run(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.ThreadCreate, thread="t2")
    _, error = await asyncio.gather(
        guest.ask(wire.Generate, run="r", ops=[USER]), refused(guest, run="r", ops=[USER], thread="t2")
    )
    assert (error.code, error.details["run"]) == (ErrorCode.EXISTS, "r")
    house.engine.start("r")
    house.engine.say("r", "Hi", (1,))
    house.engine.finish("r")
    assert (await guest.next(wire.RunFinished)).message.content == "Hi"


async def test_what_cannot_be_stored_leaves_nothing_behind(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest = await unsteady_house.listener()
    unsteady.failures = 1
    with pytest.raises(LivethreadError):
        await guest.ask(wire.Generate, run="r", ops=[USER])
    assert unsteady_house.engine.cancelled == ["r"]
    assert unsteady_house.runs.get("r") is None
    assert await shape(guest) == []
    assert (await guest.ask(wire.Generate, run="r", ops=[USER])).version == 1


async def test_a_takeover_that_cannot_be_stored_leaves_the_run_streaming(
    unsteady_house: House, unsteady: UnsteadyStore
) -> None:
    guest = await unsteady_house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    unsteady.failures = 1
    with pytest.raises(LivethreadError):
        await guest.ask(wire.Generate, run="r2", if_busy="rollback")
    unsteady_house.engine.start("r")
    unsteady_house.engine.say("r", "Hi", (1,))
    unsteady_house.engine.finish("r")
    assert (await guest.next(wire.RunFinished)).message.content == "Hi"


async def test_a_run_accepted_after_its_asker_left_ends_with_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "DISCONNECT_SECONDS", 0)
    watcher, asker = await house.listener(), house.guest()
    house.service.leave(asker.session)
    await asker.ask(wire.Generate, run="r", ops=[USER], on_disconnect="cancel")
    assert (await watcher.next(wire.RunFinished)).reason == "cancelled"


async def test_refusals_while_the_model_loads_do_not_pile_up(house: House) -> None:
    guest = await house.listener()
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is loading. Try again soon.")
    depths = set()
    for _ in range(3):
        error = await refused(guest, ops=[USER])
        depths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(depths) == 1


async def test_the_same_run_asked_for_by_two_sessions_is_answered_twice_and_runs_once(house: House) -> None:
    guest, other = await house.listener(), house.guest()
    fields = {"run": "r", "ops": [USER], "key": "k"}
    first, second = await asyncio.gather(guest.ask(wire.Generate, **fields), other.ask(wire.Generate, **fields))
    assert first == second
    assert list(house.engine.submitted) == ["r"]


@pytest.mark.parametrize("if_busy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_the_same_run_asked_for_while_it_lives_is_answered_and_left_alone(house: House, if_busy: str) -> None:
    guest = await house.listener()
    fields = {"run": "r", "ops": [USER], "if_busy": if_busy}
    ok = await guest.ask(wire.Generate, **fields)
    assert await guest.ask(wire.Generate, **fields) == ok
    house.engine.start("r")
    house.engine.say("r", "Hi", (1,))
    assert await guest.ask(wire.Generate, **fields) == ok
    house.engine.finish("r")
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == ("stop", "Hi")
    assert list(house.engine.submitted) == ["r"]


@pytest.mark.parametrize("if_busy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_the_same_run_asked_for_after_its_end_disturbs_no_other(house: House, if_busy: str) -> None:
    guest = await house.listener()
    fields = {"run": "r", "if_busy": if_busy}
    ok = await guest.ask(wire.Generate, **fields)
    house.engine.start("r")
    house.engine.finish("r")
    await guest.next(wire.RunFinished, run="r")
    await guest.ask(wire.Generate, run="r2", ops=[USER])
    assert await guest.ask(wire.Generate, **fields) == ok
    house.engine.start("r2")
    house.engine.say("r2", "Hi", (1,))
    house.engine.finish("r2")
    assert (await guest.next(wire.RunFinished, run="r2")).message.content == "Hi"
    assert list(house.engine.submitted) == ["r", "r2"]


async def test_the_same_run_asked_for_while_it_waits_in_line_stands_there_once(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    ok = await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    assert await guest.ask(wire.Generate, run="r2", if_busy="enqueue") == ok
    assert [run.id for run in (await guest.ask(wire.Runs, thread="t")).runs] == ["r", "r2"]
    await guest.ask(wire.Cancel, run="r")
    await house.engine.taken("r2")
    assert list(house.engine.submitted) == ["r", "r2"]


async def test_a_model_that_is_not_served_is_named(house: House) -> None:
    guest = await house.listener()
    async with house.lanes.hold("t", None) as lane:
        transaction = lane.begin()
        transaction.update({"model": "another"}, guest.session.principal)
        await house.lanes.commit(lane, transaction)
    error = await refused(guest, ops=[USER])
    assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, "model")
    assert "smol" in error.message


async def test_a_takeover_may_change_the_message_it_interrupts(house: House) -> None:
    guest = await house.listener()
    ok = await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.say("r", "Once", (1,))
    await guest.next(wire.RunDelta)
    edit = {"op": "edit", "message": ok.message, "content": "Twice"}
    again = await guest.ask(wire.Generate, run="r2", ops=[edit], if_busy="interrupt", mode="continue")
    assert again.message == ok.message
    assert await shape(guest) == [("u1", "Hello"), (ok.message, "Twice")]
    assert (await guest.next(wire.RunFinished, run="r")).message.content == "Once"


async def test_rolling_back_gives_removed_turns_their_place_before_what_came_since(house: House) -> None:
    guest = await house.listener(messages=[{"id": f"m{i}", "role": "user", "content": str(i)} for i in range(4)])
    await guest.ask(wire.Generate, run="r", ops=[{"op": "truncate", "after": "m0"}])
    await guest.ask(wire.Mutate, ops=[{"op": "append", "message": {"id": "late", "role": "user", "content": "x"}}])
    await guest.ask(wire.Generate, run="r2", if_busy="rollback")
    stored = (await house.store.load("t")).turns
    assert [turn.message.id for turn in stored][:-1] == ["m0", "m1", "m2", "m3", "late"]
    assert all(one.position < two.position for one, two in itertools.pairwise(stored))
    assert [id_ for id_, _ in await shape(guest)] == [turn.message.id for turn in stored]


async def test_a_queued_and_a_running_run_are_rolled_back_together(house: House) -> None:
    guest = await house.listener(messages=[{"id": "m0", "role": "user", "content": "old"}])
    await guest.ask(wire.Generate, run="r1", ops=[{"op": "edit", "message": "m0", "content": "new"}])
    await guest.ask(wire.Mutate, ops=[{"op": "append", "message": {"id": "m1", "role": "user", "content": "mine"}}])
    edit = {"op": "edit", "message": "m1", "content": "yours"}
    await guest.ask(wire.Generate, run="r2", ops=[edit], if_busy="enqueue")
    drop = {"op": "delete", "message": "m1"}
    await guest.ask(wire.Mutate, ops=[drop], if_busy="rollback")
    assert await shape(guest) == [("m0", "old")]
    reasons = [(await guest.next(wire.RunFinished, run=run)).reason for run in ("r1", "r2")]
    assert reasons == ["interrupted", "interrupted"]


async def test_a_cancelled_message_can_be_continued_twice_and_regenerated(house: House) -> None:
    guest = await house.listener()
    ok = await guest.ask(wire.Generate, run="r0", ops=[USER])
    for number in (1, 2):
        await guest.ask(wire.Cancel, run=f"r{number - 1}")
        await guest.next(wire.RunFinished, run=f"r{number - 1}")
        assert (await guest.ask(wire.Generate, run=f"r{number}", mode="continue")).message == ok.message
    house.engine.start("r2")
    house.engine.say("r2", "Hi", (1,))
    house.engine.finish("r2")
    await guest.next(wire.RunFinished, run="r2")
    assert await shape(guest) == [("u1", "Hello"), (ok.message, "Hi")]
    again = await guest.ask(wire.Generate, run="r3", mode="regenerate")
    assert await shape(guest) == [("u1", "Hello"), (again.message, "")]


@pytest.mark.parametrize("mode", ["regenerate", "continue"])
async def test_what_another_run_still_writes_cannot_be_queued_behind(house: House, mode: str) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, ops=[USER])
    assert (await refused(guest, mode=mode, if_busy="enqueue")).code is ErrorCode.BUSY


async def test_a_cancel_before_acceptance_is_only_its_principals(house: House) -> None:
    guest = await house.listener()
    command = wire.Generate(id=1, thread="t", run="r")
    house.service.announce(guest.session, command)
    with pytest.raises(CommandError):
        await house.guest("eve").ask(wire.Cancel, run="r")
    await house.service.carry_out(guest.session, command, lambda ok: None)
    assert house.runs.get("r") is not None
