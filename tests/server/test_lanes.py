from __future__ import annotations

import asyncio

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal, Sampling
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun
from livethread_server.store.base import Access, Unusable
from livethread_server.store.memory import MemoryStore
from tests.fakes import UnsteadyStore, a_change, a_run, a_thread, a_turn

ALICE = Principal("alice", "Alice")


async def a_store(*threads: str) -> MemoryStore:
    store = MemoryStore()
    for thread in threads:
        await store.create(a_thread(thread), (a_turn(1),))
    return store


def kept(lanes: Lanes) -> set[str]:
    return set(lanes._lanes)


async def test_a_thread_has_one_holder_at_a_time_in_the_order_asked() -> None:
    lanes = Lanes(await a_store("t"), 10)
    order: list[int] = []

    async def visit(number: int) -> None:
        async with lanes.hold("t", ALICE) as lane:
            order.append(number)
            await asyncio.sleep(0)
            assert lane.lock.locked()
            order.append(number)

    await asyncio.gather(*(visit(number) for number in range(5)))
    assert order == [number for number in range(5) for _ in range(2)]


async def test_two_thousand_visited_threads_keep_memory_bounded() -> None:
    names = [f"t{number}" for number in range(2000)]
    lanes = Lanes(await a_store(*names), 16)
    for name in names:
        async with lanes.hold(name, ALICE):
            pass
    assert kept(lanes) == set(names[-16:])


async def test_threads_that_are_not_there_or_foreign_leave_nothing_behind() -> None:
    lanes = Lanes(await a_store("t"), 10)
    for thread, principal in (("nobody", ALICE), ("t", Principal("eve", "Eve"))):
        with pytest.raises(CommandError) as caught:
            async with lanes.hold(thread, principal):
                pass
        assert caught.value.code is ErrorCode.NOT_FOUND
    assert kept(lanes) == set()


BEN = Principal("ben", "Ben")


async def test_roles_and_readers_are_the_same_whether_a_thread_is_in_use_or_not() -> None:
    store = await a_store("t")
    await store.share("t", Access({"ben": "viewer"}))
    lanes = Lanes(store, 10)
    for used in (False, True):
        assert (lanes.peek("t") is not None) is used
        assert [await lanes.role("t", who) for who in (ALICE, BEN, Principal("eve", "Eve"))] == [
            "owner",
            "viewer",
            None,
        ]
        assert await lanes.role("u", ALICE) is None
        assert await lanes.readers(a_thread("t")) == {"alice", "ben"}
        async with lanes.hold("t", BEN):
            pass
    with pytest.raises(CommandError) as caught:
        async with lanes.hold("t", BEN, "participant"):
            pass
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_a_role_that_is_taken_while_somebody_waits_is_taken_from_him() -> None:
    store = await a_store("t")
    await store.share("t", Access({"ben": "viewer"}))
    lanes = Lanes(store, 10)
    async with lanes.hold("t", ALICE) as lane:
        waiting = asyncio.create_task(lanes.hold("t", BEN).__aenter__())
        await asyncio.sleep(0)
        await lanes.share(lane, Access())
    with pytest.raises(CommandError) as caught:
        await waiting
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_a_thread_with_unfinished_runs_is_never_forgotten() -> None:
    lanes = Lanes(await a_store("t", "u", "v"), 1)
    async with lanes.hold("t", ALICE) as lane:
        lane.runs.append(LiveRun(a_run(), Sampling(), Sampling(), "s"))
    for other in ("u", "v"):
        async with lanes.hold(other, ALICE):
            pass
    async with lanes.hold("t", ALICE) as again:
        assert again is lane


async def test_somebody_elses_change_is_a_conflict_and_loaded_the_next_time() -> None:
    store = await a_store("t")
    lanes = Lanes(store, 10)
    async with lanes.hold("t", ALICE) as lane:
        lane.runs.append(LiveRun(a_run(), Sampling(), Sampling(), "s"))
        await store.commit(a_change(lane.thread, thread={"title": "theirs"}))
        transaction = lane.begin()
        transaction.update({"title": "ours"}, ALICE)
        with pytest.raises(CommandError) as caught:
            await lanes.commit(lane, transaction)
        assert caught.value.code is ErrorCode.VERSION_CONFLICT
    async with lanes.hold("t", ALICE) as again:
        assert (again.thread.title, len(again.runs)) == ("theirs", 1)


@pytest.mark.parametrize("kept", [False, True])
async def test_a_change_whose_end_nobody_knows_is_looked_for(kept: bool) -> None:
    store = UnsteadyStore()
    await store.create(a_thread("t"), (a_turn(1),))
    lanes = Lanes(store, 10)
    async with lanes.hold("t", ALICE) as lane:
        transaction = lane.begin()
        transaction.update({"title": "ours"}, ALICE)
        store.kept = [kept]
        with pytest.raises(CommandError, match="Look at the thread before you repeat the command") as caught:
            await lanes.commit(lane, transaction)
        assert caught.value.code is ErrorCode.INTERNAL
    async with lanes.hold("t", ALICE) as again:
        assert again is lane
        assert (lane.thread.version, lane.thread.seq) == ((2, 1) if kept else (1, 0))
        transaction = lane.begin()
        transaction.update({"title": "later"}, ALICE)
        await lanes.commit(lane, transaction)
    assert (await store.load("t")).thread == lane.thread


async def test_a_doubted_thread_is_not_forgotten_until_it_is_seen_again() -> None:
    store = UnsteadyStore()
    for thread in "tuv":
        await store.create(a_thread(thread), (a_turn(1),))
    lanes = Lanes(store, 1)
    async with lanes.hold("t", ALICE) as lane:
        store.kept, store.loads = [True], 1
        with pytest.raises(CommandError):
            await lanes.commit(lane, lane.begin())
    with pytest.raises(Unusable):
        async with lanes.hold("t", ALICE):
            pass
    for other in "uv":
        async with lanes.hold(other, ALICE):
            pass
    assert kept(lanes) == {"t"}
    async with lanes.hold("t", ALICE) as again:
        assert again is lane
    assert kept(lanes) == {"t"}


async def test_a_deleted_thread_is_gone_for_whoever_waited_and_may_come_back() -> None:
    store = await a_store("t")
    lanes = Lanes(store, 10)
    async with lanes.hold("t", ALICE) as lane:
        waiting = asyncio.create_task(lanes.hold("t", ALICE).__aenter__())
        await asyncio.sleep(0)
        await lanes.delete(lane)
    with pytest.raises(CommandError):
        await waiting
    assert kept(lanes) == set()
    await store.create(a_thread("t", epoch="e2"), ())
    async with lanes.hold("t", ALICE) as again:
        assert again.thread.epoch == "e2"


def test_what_is_unfinished_ends_with_the_last_message_being_written() -> None:
    lane = Lane("t")
    lane.turns = (a_turn(1), a_turn(2), a_turn(3))
    assert lane.unfinished() == 0
    record = a_run()
    record = msgspec.structs.replace(record, run=msgspec.structs.replace(record.run, message="m2"))
    lane.runs.append(LiveRun(record, Sampling(), Sampling(), "s"))
    assert lane.unfinished() == 2
