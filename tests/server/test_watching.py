"""Who watches keeps the list of threads that he could ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livethread import messages as wire
from livethread.errors import CommandError
from livethread.model import Thread
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.wire import Moved
from livethread_server.store.base import Store, Unusable
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.fakes import a_thread
from tests.house import Guest, House, closing

USER = {"op": "append", "message": {"role": "user", "content": "Hello"}}


async def a_watcher(house: House, principal: str = "alice") -> Guest:
    guest = house.guest(principal)
    await guest.ask(wire.Watch)
    return guest


async def settled(house: House) -> None:
    """Come back when nobody has anything to be told of threads any more."""
    async with asyncio.timeout(10):
        while house.watching.behind:  # noqa: ASYNC110 - the loop is ours
            await asyncio.sleep(0)


async def told(house: House, guest: Guest) -> list[tuple[str, str]]:
    """What the guest was told so far: kinds and threads."""
    await settled(house)
    return [(type(event).__name__, event.thread) for event in await guest.heard()]


async def test_a_new_thread_is_told_with_its_summary(house: House) -> None:
    watcher, guest = await a_watcher(house), house.guest()
    made = await guest.ask(wire.ThreadCreate, thread="t", title="A", messages=[USER["message"]])
    event = await watcher.next(wire.ThreadCreated)
    assert event.summary == (await guest.ask(wire.ThreadList)).threads[0]
    assert (event.summary.title, event.summary.messages) == ("A", ())
    assert made.thread.messages
    await guest.ask(wire.ThreadFork, new_thread="u")
    assert (await watcher.next(wire.ThreadCreated, thread="u")).summary.forked_from.thread == "t"  # type: ignore[union-attr]


async def test_a_thread_that_is_gotten_again_is_not_new(house: House) -> None:
    guest = await house.listener()
    watcher = await a_watcher(house)
    await guest.ask(wire.ThreadCreate, thread="t", if_exists="get")
    with pytest.raises(CommandError):
        await guest.ask(wire.ThreadCreate, thread="t")
    assert await told(house, watcher) == []


async def test_changes_of_one_moment_are_told_once_as_they_ended(house: House) -> None:
    guest = await house.listener()
    for number in range(5):
        await guest.ask(wire.ThreadUpdate, title=str(number))
    watcher = await a_watcher(house)
    for _ in range(5):
        house.watching.changed("t")
    house.live("t", 5)
    assert await told(house, watcher) == [("ThreadChanged", "t")]
    (event,) = watcher.told
    assert isinstance(event, wire.ThreadChanged)
    assert (event.summary.title, event.summary.version, event.summary.residency) == ("4", 5, "live")


async def test_runs_change_their_thread_too(house: House) -> None:
    guest = await house.listener()
    watcher = await a_watcher(house)
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.finish("r")
    await guest.next(wire.RunFinished)
    await settled(house)
    last = (await watcher.heard())[-1]
    assert isinstance(last, wire.ThreadChanged)
    assert last.summary == (await guest.ask(wire.ThreadList)).threads[0]


async def test_a_deleted_thread_is_gone(house: House) -> None:
    guest = await house.listener()
    watcher = await a_watcher(house)
    await guest.ask(wire.ThreadDelete)
    assert await told(house, watcher) == [("ThreadGone", "t")]


async def test_a_thread_deleted_and_made_again_is_new(house: House) -> None:
    guest = await house.listener()
    watcher = await a_watcher(house)
    await guest.ask(wire.ThreadDelete)
    await guest.ask(wire.ThreadCreate, thread="t", title="Again")
    assert await told(house, watcher) == [("ThreadCreated", "t")]


async def test_strangers_hear_nothing(house: House) -> None:
    eve = await a_watcher(house, "eve")
    guest = await house.listener()
    await guest.ask(wire.ThreadUpdate, title="Secret")
    await settled(house)
    await guest.ask(wire.ThreadDelete)
    assert await told(house, eve) == []


async def test_who_left_or_never_watched_hears_nothing(house: House) -> None:
    watcher, other = await a_watcher(house), house.guest()
    house.service.leave(watcher.session)
    await house.listener()
    assert await told(house, watcher) == await told(house, other) == []
    assert not house.watching.behind


async def test_watching_twice_is_watching_once(house: House) -> None:
    watcher = await a_watcher(house)
    await watcher.ask(wire.Watch)
    await house.listener()
    assert await told(house, watcher) == [("ThreadCreated", "t")]


async def test_threads_that_nobody_has_in_use_are_looked_up(house: House) -> None:
    await house.store.create(a_thread("cold"), ())
    watcher = await a_watcher(house)
    house.residencies.moved(Moved("cold", "disk", 5))
    event = await watcher.next(wire.ThreadChanged)
    assert (event.summary.id, event.summary.residency) == ("cold", "disk")
    house.residencies.moved(Moved("unknown", "disk", 5))
    assert len(await told(house, watcher)) == 1


class Shared:
    """Who may read which thread, as a test says."""

    def __init__(self) -> None:
        self.more: dict[str, set[str]] = {}

    async def readers(self, thread: Thread) -> frozenset[str]:
        return frozenset({thread.owner, *self.more.get(thread.id, ())})


class FailingStore(MemoryStore):
    """A store that cannot be asked for a while."""

    fails = False

    async def known(self, threads: Any) -> Any:
        if self.fails:
            raise Unusable("The disk is gone. Bring it back.")
        return await super().known(threads)


async def opened(store: Store, vocabulary: Vocabulary, model_path: Path, **more: Any) -> AsyncIterator[House]:
    grammars = GrammarCheck(model_path)
    async for house in closing(House(store, vocabulary, grammars, **more)):
        yield house
    await grammars.stop()


async def test_what_is_shared_is_new_and_what_is_taken_back_is_gone(vocabulary: Vocabulary, model_path: Path) -> None:
    shared = Shared()
    async for house in opened(MemoryStore(), vocabulary, model_path, readers=shared.readers):
        guest, bob = await house.listener(), await a_watcher(house, "bob")
        alice = await a_watcher(house)
        thread = (await guest.ask(wire.ThreadGet)).thread
        shared.more["t"] = {"bob"}
        house.listening.shared(thread, "bob", "viewer")
        assert await told(house, bob) == [("ThreadCreated", "t")]
        await guest.ask(wire.ThreadUpdate, title="For both")
        assert await told(house, bob) == [("ThreadCreated", "t"), ("ThreadChanged", "t")]
        del shared.more["t"]
        house.listening.shared(thread, "bob", None)
        assert (await told(house, bob))[2:] == [("ThreadGone", "t")]
        await guest.ask(wire.ThreadDelete)
        assert len(await told(house, bob)) == 3
        assert (await told(house, alice))[-1] == ("ThreadGone", "t")


async def test_what_could_not_be_told_is_told_with_the_next_change(vocabulary: Vocabulary, model_path: Path) -> None:
    store = FailingStore()
    async for house in opened(store, vocabulary, model_path, lanes=0):
        watcher = await a_watcher(house)
        store.fails = True
        await house.guest().ask(wire.ThreadCreate, thread="t")
        await settled(house)
        store.fails = False
        await house.guest().ask(wire.ThreadCreate, thread="u")
        assert await told(house, watcher) == [("ThreadCreated", "t"), ("ThreadCreated", "u")]


STEPS = ("create", "delete", "rename", "say", "fork", "give", "take", "move", "rest", "rest", "look")
ROLES = ("viewer", "participant", "owner")
HISTORIES = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3), st.integers(0, 9)), min_size=6, max_size=30)


class Tab:
    """A list of threads: asked for once, and kept by what is told."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._threads: dict[str, Thread] = {}
        self._seen = 0

    async def open(self) -> None:
        await self.guest.ask(wire.Watch)
        self._threads = {thread.id: thread for thread in (await self.guest.ask(wire.ThreadList)).threads}

    async def shown(self) -> list[Thread]:
        events = await self.guest.heard()
        for event in events[self._seen :]:
            if isinstance(event, wire.ThreadGone):
                self._threads.pop(event.thread, None)
            elif isinstance(event, wire.ThreadCreated | wire.ThreadChanged):
                self._threads[event.thread] = event.summary
        self._seen = len(events)
        return sorted(self._threads.values(), key=lambda one: (one.updated_at, one.id), reverse=True)


async def _happen(house: House, guest: Guest, step: str, which: int, number: int) -> None:
    thread = f"t{which}"
    match step:
        case "create":
            await guest.ask(wire.ThreadCreate, thread=thread)
        case "delete":
            await guest.ask(wire.ThreadDelete, thread=thread)
        case "rename":
            await guest.ask(wire.ThreadUpdate, thread=thread, title=str(number))
        case "say":
            await guest.ask(wire.Mutate, thread=thread, ops=[USER])
        case "fork":
            await guest.ask(wire.ThreadFork, thread=thread, new_thread=f"t{number % 4}")
        case "give":
            await guest.ask(wire.ThreadShare, thread=thread, principal=_other(guest), role=ROLES[number % 3])
        case "take":
            await guest.ask(wire.ThreadShare, thread=thread, principal=_other(guest), role="none")
        case "move":
            house.residencies.moved(Moved(thread, ("live", "ram", "disk", "cold")[number % 4], 5))
        case "rest":
            for _ in range(number):
                await asyncio.sleep(0)


def _other(guest: Guest) -> str:
    return "bob" if guest.session.principal.id == "alice" else "alice"


async def _live_through(house: House, history: list[tuple[str, int, int]]) -> None:
    tabs = [Tab(house.guest()), Tab(house.guest("bob"))]
    for tab in tabs:
        await tab.open()
    guests = [house.guest(), house.guest("bob")]
    for step, which, number in history:
        if step == "look":
            tabs.append(Tab(house.guest(("alice", "bob")[number % 2])))
            await tabs[-1].open()
        try:
            await _happen(house, guests[number < 3], step, which, number)
        except CommandError:
            continue
    await settled(house)
    for tab in tabs:
        assert await tab.shown() == list((await tab.guest.ask(wire.ThreadList)).threads)


@pytest.mark.parametrize("lanes", [0, 100])
@settings(deadline=None, max_examples=60)
@given(history=HISTORIES)
def test_the_lists_of_two_tabs_stay_equal(
    vocabulary: Vocabulary, model_path: Path, lanes: int, history: list[tuple[str, int, int]]
) -> None:
    async def lived() -> None:
        async for house in opened(MemoryStore(), vocabulary, model_path, lanes=lanes):
            await _live_through(house, history)

    with asyncio.Runner() as runner:
        runner.run(lived())
