"""What becomes of a thread after a change of which nobody knew whether it was stored."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.messages import SubscribeOk
from livethread.replica import apply, begin
from livethread_server import runs, settling
from livethread_server.lanes import Lanes
from tests.fakes import UnsteadyStore
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}
MORE = {"op": "append", "message": {"id": "u2", "role": "user", "content": "More"}}
BOTH = pytest.mark.parametrize("kept", [False, True])


async def listening(house: House) -> tuple[Guest, SubscribeOk]:
    """A guest that listens to a new thread, and what it heard first."""
    guest = await house.listener()
    return guest, await guest.ask(wire.Subscribe)


async def lost(guest: Guest, kind: type[wire.Command], **fields: object) -> None:
    """Ask for what nobody will know the end of."""
    with pytest.raises(CommandError, match="Look at the thread before you repeat the command") as caught:
        await guest.ask(kind, **fields)
    assert caught.value.code is ErrorCode.INTERNAL


async def check(guest: Guest, joined: SubscribeOk) -> None:
    """Whoever has heard every event has what the thread is, without a gap."""
    assert joined.thread is not UNSET
    whole = (await guest.ask(wire.ThreadGet)).thread
    seen = begin(joined.thread, joined.run)
    for event in await guest.heard():
        seen = apply(seen, event)
    assert seen == whole


async def finish(house: House, guest: Guest, run: str) -> wire.RunFinished:
    while run not in house.engine.unfinished:  # noqa: ASYNC110 - the loop is short
        await asyncio.sleep(0)
    house.engine.start(run)
    house.engine.say(run, "Hi", (1,))
    house.engine.finish(run)
    return await guest.next(wire.RunFinished, run=run)


@BOTH
async def test_a_mutation_is_told_if_it_was_kept(unsteady_house: House, unsteady: UnsteadyStore, kept: bool) -> None:
    guest, joined = await listening(unsteady_house)
    unsteady.kept = [kept]
    await lost(guest, wire.Mutate, ops=[USER], key="k")
    assert [m.id for m in (await guest.ask(wire.ThreadGet)).thread.messages] == ["u1"] * kept
    assert (await guest.ask(wire.Mutate, ops=[USER], key="k")).version == 1
    assert (await guest.ask(wire.Mutate, ops=[MORE], expect_version=1)).version == 2
    await check(guest, joined)


async def test_a_run_that_was_kept_goes_on_though_nobody_asks(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest, joined = await listening(unsteady_house)
    unsteady.kept = [True]
    await lost(guest, wire.Generate, run="r", ops=[USER], key="k")
    assert unsteady_house.engine.cancelled == ["r"]
    assert (await finish(unsteady_house, guest, "r")).message.content == "Hi"
    await check(guest, joined)
    assert await unsteady.unfinished() == ()


async def test_a_run_that_was_kept_is_joined_by_who_asks_again(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest, joined = await listening(unsteady_house)
    unsteady.kept = [True]
    await lost(guest, wire.Generate, run="r", ops=[USER], key="k")
    assert (await guest.ask(wire.Generate, run="r", ops=[USER], key="k")).run == "r"
    assert (await finish(unsteady_house, guest, "r")).message.content == "Hi"
    await check(guest, joined)


async def test_a_run_that_was_not_kept_may_be_asked_for_again(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest, joined = await listening(unsteady_house)
    unsteady.kept = [False]
    await lost(guest, wire.Generate, run="r", ops=[USER], key="k")
    await guest.ask(wire.Generate, run="r", ops=[USER], key="k")
    assert (await finish(unsteady_house, guest, "r")).message.content == "Hi"
    await check(guest, joined)


async def test_a_store_that_cannot_be_asked_is_asked_until_it_answers(
    unsteady_house: House, unsteady: UnsteadyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "FIRST_PAUSE", 0)
    guest, joined = await listening(unsteady_house)
    unsteady.kept, unsteady.loads = [True], 3
    await lost(guest, wire.Generate, run="r", ops=[USER])
    await finish(unsteady_house, guest, "r")
    assert unsteady.loads == 0
    await check(guest, joined)


@BOTH
async def test_a_run_whose_interruption_was_kept_is_over_and_else_goes_on(
    unsteady_house: House, unsteady: UnsteadyStore, kept: bool
) -> None:
    guest, joined = await listening(unsteady_house)
    await guest.ask(wire.Generate, run="r", ops=[USER])
    unsteady_house.engine.start("r")
    unsteady_house.engine.say("r", "He", (2,))
    await guest.next(wire.RunDelta)
    unsteady.kept = [kept]
    await lost(guest, wire.Generate, run="r2", if_busy="interrupt", ops=[MORE])
    if kept:
        assert (await guest.next(wire.RunFinished, run="r")).reason == "interrupted"
        assert (await finish(unsteady_house, guest, "r2")).reason == "stop"
    else:
        unsteady_house.engine.finish("r")
        assert (await guest.next(wire.RunFinished, run="r")).reason == "stop"
    await check(guest, joined)
    assert [e.run for e in await guest.heard() if isinstance(e, wire.RunFinished)] == ["r", "r2"][: 1 + kept]


@BOTH
async def test_a_run_ends_once_and_the_next_one_starts(
    unsteady_house: House, unsteady: UnsteadyStore, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FIRST_PAUSE", 0)
    guest, joined = await listening(unsteady_house)
    await guest.ask(wire.Generate, run="r", ops=[USER])
    await guest.ask(wire.Generate, run="r2", ops=[MORE], if_busy="enqueue")
    unsteady_house.engine.start("r")
    await guest.next(wire.RunStarted)
    unsteady.kept = [kept]
    unsteady_house.engine.finish("r")
    await guest.next(wire.RunFinished, run="r")
    await finish(unsteady_house, guest, "r2")
    await check(guest, joined)
    assert [e.run for e in await guest.heard() if isinstance(e, wire.RunFinished)] == ["r", "r2"]


@BOTH
async def test_a_thread_that_may_be_deleted_is_gone_or_goes_on(
    unsteady_house: House, unsteady: UnsteadyStore, kept: bool
) -> None:
    guest, joined = await listening(unsteady_house)
    await guest.ask(wire.Generate, run="r", ops=[USER])
    unsteady.kept = [kept]
    await lost(guest, wire.ThreadDelete)
    if kept:
        await guest.next(wire.ThreadGone, thread="t")
        assert unsteady_house.engine.forgotten == ["t"]
        assert unsteady_house.engine.unfinished == []
        assert unsteady_house.runs.get("r") is None
        await guest.ask(wire.ThreadCreate, thread="t")
    else:
        assert (await finish(unsteady_house, guest, "r")).reason == "stop"
        await check(guest, joined)


@BOTH
async def test_whoever_made_a_thread_is_told_to_look(
    unsteady_house: House, unsteady: UnsteadyStore, kept: bool
) -> None:
    guest = unsteady_house.guest()
    unsteady.kept = [kept]
    await lost(guest, wire.ThreadCreate, thread="t")
    assert (await guest.ask(wire.ThreadCreate, thread="t", if_exists="get")).thread.version == 0


async def test_what_somebody_else_stored_is_told(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest, joined = await listening(unsteady_house)
    other = Lanes(unsteady, 1)
    async with other.hold("t", None) as lane:
        transaction = lane.begin()
        transaction.update({"title": "theirs"}, guest.session.principal)
        await other.commit(lane, transaction)
    with pytest.raises(CommandError, match="Repeat the command"):
        await guest.ask(wire.ThreadUpdate, title="ours")
    await asyncio.sleep(0)
    assert (await guest.ask(wire.ThreadUpdate, title="ours")).version == 2
    await check(guest, joined)


async def test_who_stops_sees_to_nothing_more(unsteady_house: House, unsteady: UnsteadyStore) -> None:
    guest, _ = await listening(unsteady_house)
    unsteady.kept, unsteady.loads = [True, True], 1000
    await lost(guest, wire.Mutate, ops=[USER])
    await unsteady_house.settling.stop()
    unsteady.loads = 0
    await lost(guest, wire.Mutate, ops=[MORE])
    assert unsteady_house.settling._tasks == set()
