"""Who comes back is told exactly what he lacks, or everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from livethread import messages as wire
from livethread.errors import CommandError
from livethread.messages import RunRecovered, Since
from livethread.resume import since_of
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.history import HistoryBounds
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.copies import Copy, a_copy, back, travelled
from tests.house import Guest, House, closing

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


def append(content: str) -> dict[str, object]:
    return {"op": "append", "message": {"role": "user", "content": content}}


async def in_the_middle(house: House) -> tuple[Guest, Copy]:
    """Somebody who asks, and a copy, of a run that has said three tokens in two deltas."""
    asker = await house.listener()
    copy = await a_copy(house)
    await asker.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.say("r", "One ", (1, 2))
    await copy.guest.next(wire.RunDelta)
    house.engine.say("r", "two", (3,))
    await copy.guest.next(wire.RunDelta, to=3)
    await copy.listen()
    return asker, copy


async def asked(house: House, since: Since) -> wire.SubscribeOk:
    return travelled(await house.guest().ask(wire.Subscribe, since=since))


async def test_who_missed_nothing_is_told_nothing(house: House) -> None:
    await house.listener()
    copy = await a_copy(house)
    again = await back(house, copy.now)
    assert (again.ok.recovered, again.ok.events, again.ok.thread) == (True, (), UNSET)
    assert await again.listen() == await copy.listen()


async def test_what_was_missed_comes_in_order_and_once(house: House) -> None:
    guest = await house.listener()
    copy = await a_copy(house)
    cut = copy.now
    for number in range(3):
        await guest.ask(wire.Mutate, ops=[append(str(number))])
    await guest.ask(wire.ThreadUpdate, title="New")
    again = await back(house, cut)
    assert [event["seq"] for event in again.ok.events] == [1, 2, 3, 4]  # type: ignore[union-attr]
    await guest.ask(wire.Mutate, ops=[append("more")])
    assert await again.listen() == await copy.listen()


async def test_the_text_goes_on_where_it_was_cut(house: House) -> None:
    _, copy = await in_the_middle(house)
    first, second = (state for state in copy.states if state.to)
    for cut, start, text in ((first, 2, "two"), (second, 3, "")):
        again = await back(house, cut)
        run = again.ok.run
        assert isinstance(run, wire.RunSnapshot)
        assert (again.ok.recovered, run.start, run.to, run.text) == (True, start, 3, text)
        assert again.now == copy.now
    house.engine.say("r", " three", (4,))
    house.engine.finish("r")
    await copy.guest.next(wire.RunFinished)
    assert (await copy.listen()).thread.messages[-1].content == "One two three"


async def test_text_is_told_from_the_beginning_where_nobody_vouches_for_the_position(house: House) -> None:
    _, copy = await in_the_middle(house)
    since = since_of(copy.now)
    for odd in (replace(since, to=1), replace(since, to=99), replace(since, run="other"), replace(since, run=None)):
        ok = await asked(house, odd)
        assert isinstance(ok.run, wire.RunSnapshot)
        assert (ok.recovered, ok.run.start, ok.run.text) == (True, 0, "One two")


async def test_nobody_vouches_for_a_position_at_which_text_was_held_back(house: House) -> None:
    _, copy = await in_the_middle(house)
    cut = copy.now
    house.engine.say("r", " thr", ())
    await copy.guest.next(wire.RunDelta, text=" thr")
    for state in (cut, await copy.listen()):
        again = await back(house, state)
        assert isinstance(again.ok.run, wire.RunSnapshot)
        assert (again.ok.run.start, again.now) == (0, copy.now)


async def test_a_run_that_began_meanwhile_is_told_from_the_beginning(house: House) -> None:
    _, copy = await in_the_middle(house)
    again = await back(house, copy.states[0])
    assert isinstance(again.ok.run, wire.RunSnapshot)
    assert (again.ok.run.start, again.now) == (0, copy.now)


async def test_a_position_of_before_the_run_was_recovered_means_nothing(house: House) -> None:
    _, copy = await in_the_middle(house)
    async with house.lanes.hold("t", None) as lane:
        transaction = lane.begin()
        transaction.tell(RunRecovered, run="r", message=lane.runs[0].message, to=3, text="One two", content="One two")
        await house.lanes.commit(lane, transaction)
        house.runs.publish(transaction)
    again = await back(house, copy.now)
    assert isinstance(again.ok.run, wire.RunSnapshot)
    assert (again.ok.run.start, again.now) == (0, await copy.listen())
    assert isinstance((await back(house, copy.now)).ok.run, wire.RunSnapshot)
    assert (await asked(house, since_of(copy.now))).run.start == 3  # type: ignore[union-attr]


async def test_a_run_that_ended_meanwhile_is_among_the_events(house: House) -> None:
    _, copy = await in_the_middle(house)
    cut = copy.now
    house.engine.finish("r")
    await copy.guest.next(wire.RunFinished)
    again = await back(house, cut)
    assert [event["type"] for event in again.ok.events] == ["run.finished"]  # type: ignore[union-attr]
    assert await again.listen() == await copy.listen()


async def test_where_the_context_went_meanwhile_is_told_too(house: House) -> None:
    await house.listener()
    copy = await a_copy(house)
    cut = copy.now
    house.live("t", 5)
    again = await back(house, cut)
    assert (await again.listen()).thread.residency == "live"
    assert again.now == await copy.listen()


async def test_another_life_of_the_thread_is_told_whole(house: House) -> None:
    guest = await house.listener()
    copy = await a_copy(house)
    await guest.ask(wire.ThreadDelete)
    await guest.ask(wire.ThreadCreate, thread="t", title="Another")
    again = await back(house, copy.now)
    assert (again.ok.recovered, again.now.thread.title) == (False, "Another")


async def test_a_position_that_has_not_been_yet_is_told_whole(house: House) -> None:
    await house.listener()
    since = since_of((await a_copy(house)).now)
    assert not (await asked(house, replace(since, seq=1))).recovered
    assert not (await asked(house, replace(since, seq=(1 << 53) - 1))).recovered
    assert not (await asked(house, replace(since, epoch=""))).recovered


async def test_more_than_is_kept_is_told_whole(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = await house.listener()
    copy = await a_copy(house)
    monkeypatch.setattr("livethread_server.history.EVENTS_KEPT", 3)
    for _ in range(3):
        await guest.ask(wire.Mutate, ops=[append("x")])
    assert (await back(house, copy.now)).ok.recovered
    await guest.ask(wire.Mutate, ops=[append("x")])
    again = await back(house, copy.now)
    assert (again.ok.recovered, again.now) == (False, await copy.listen())


async def test_more_than_a_frame_holds_is_told_whole(house: House) -> None:
    guest = await house.listener()
    copy = await a_copy(house)
    for _ in range(3):
        await guest.ask(wire.Mutate, ops=[append("x" * (250 << 10))])
    assert (await back(house, copy.now)).ok.recovered
    for _ in range(2):
        await guest.ask(wire.Mutate, ops=[append("x" * (250 << 10))])
    again = await back(house, copy.now)
    assert (again.ok.recovered, again.ok.more) == (False, True)


async def test_another_principal_cannot_come_back_to_a_thread(house: House) -> None:
    await house.listener()
    since = since_of((await a_copy(house)).now)
    with pytest.raises(CommandError, match="There is no thread"):
        await house.guest("eve").ask(wire.Subscribe, since=since)


@pytest.fixture
async def forgetful(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house that keeps no events in memory, and one thread at a time."""
    house = House(MemoryStore(), vocabulary, GrammarCheck(model_path), history=HistoryBounds(events=0), lanes=0)
    async for one in closing(house):
        yield one


async def test_what_memory_does_not_hold_comes_from_the_store(forgetful: House) -> None:
    guest = await forgetful.listener()
    copy = await a_copy(forgetful)
    cut = copy.now
    for _ in range(3):
        await guest.ask(wire.Mutate, ops=[append("x")])
    again = await back(forgetful, cut)
    assert again.ok.recovered
    assert again.now == await copy.listen()
