"""Who is on a thread, typing or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Here, PresenceChanged
from livethread.model import Thread
from livethread_server.attendance import Attendance
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.fakes import a_thread
from tests.house import Guest, House, closing


async def a_subscriber(house: House, principal: str = "alice") -> Guest:
    guest = house.guest(principal)
    await guest.ask(wire.Subscribe)
    return guest


async def told(guest: Guest) -> list[tuple[tuple[str, ...], tuple[str, ...], int]]:
    """What the guest was told: who is there, who of them types, how many there are."""
    for _ in range(3):
        await asyncio.sleep(0)
    events = [event for event in await guest.heard() if isinstance(event, PresenceChanged)]
    return [
        (
            tuple(one.session for one in event.here),
            tuple(one.session for one in event.here if one.typing),
            event.total,
        )
        for event in events
    ]


async def test_everybody_who_listens_hears_who_is_there(house: House) -> None:
    guest = await house.listener()
    other = await a_subscriber(house)
    await guest.ask(wire.Presence)
    event = await other.next(PresenceChanged)
    assert event.here == (Here(guest.session.id, "alice", "alice", False),)
    await other.ask(wire.Presence, typing=True)
    ids = guest.session.id, other.session.id
    assert (await told(guest))[-1] == (ids, (ids[1],), 2)
    assert (await told(other))[-1] == (ids, (ids[1],), 2)


async def test_saying_the_same_again_tells_nobody(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Presence)
    assert len(await told(guest)) == 1
    await guest.ask(wire.Presence)
    assert len(await told(guest)) == 1


async def test_what_happens_at_once_is_told_once(house: House) -> None:
    guest = await house.listener()
    others = [await a_subscriber(house) for _ in range(3)]
    attendance = Attendance(house.hub, pause=0)
    for other in others:
        attendance.say(other.session, "t", typing=True)
        attendance.say(other.session, "t", typing=False)
    ids = tuple(other.session.id for other in others)
    assert await told(guest) == [(ids, (), 3)]


async def test_who_unsubscribes_or_leaves_is_gone(house: House) -> None:
    guest = await house.listener()
    others = [await a_subscriber(house) for _ in range(2)]
    for one in (guest, *others):
        await one.ask(wire.Presence)
    await others[0].ask(wire.Unsubscribe)
    assert (await told(guest))[-1] == ((guest.session.id, others[1].session.id), (), 2)
    house.service.leave(others[1].session)
    assert (await told(guest))[-1] == ((guest.session.id,), (), 1)
    await guest.ask(wire.Unsubscribe)
    late = await a_subscriber(house)
    await late.ask(wire.Presence)
    assert (await told(late))[-1] == ((late.session.id,), (), 1)


async def test_the_last_one_to_go_leaves_nobody(house: House) -> None:
    guest = await house.listener()
    other = await a_subscriber(house)
    await other.ask(wire.Presence)
    house.service.leave(other.session)
    assert (await told(guest))[-1] == ((), (), 0)


async def test_only_subscribers_can_be_there(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Unsubscribe)
    with pytest.raises(CommandError) as caught:
        await guest.ask(wire.Presence)
    assert (caught.value.code, caught.value.details["field"]) == (ErrorCode.BAD_REQUEST, "thread")
    for stranger, thread in ((house.guest("eve"), "t"), (guest, "unknown")):
        with pytest.raises(CommandError) as caught:
            await stranger.ask(wire.Presence, thread=thread)
        assert caught.value.code is ErrorCode.NOT_FOUND


async def test_of_a_crowd_a_hundred_are_named(house: House) -> None:
    guest = await house.listener()
    crowd = [await a_subscriber(house) for _ in range(102)]
    for one in crowd:
        await one.ask(wire.Presence)
    here, _, total = (await told(guest))[-1]
    assert (here, total) == (tuple(one.session.id for one in crowd[:100]), 102)


async def test_a_deleted_thread_forgets_who_was_there(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Presence, typing=True)
    await guest.ask(wire.ThreadDelete)
    await guest.ask(wire.ThreadCreate, thread="t")
    before = len(await told(guest))
    await guest.ask(wire.Subscribe)
    other = await a_subscriber(house)
    await other.ask(wire.Presence)
    assert (await told(guest))[before:] == [((other.session.id,), (), 1)]


async def test_who_may_read_no_more_is_not_there(house: House) -> None:
    guest = await house.listener()
    other = await a_subscriber(house)
    await other.ask(wire.Presence)
    shared: Thread = a_thread(owner="somebody")
    house.listening.shared(shared, "alice", None)
    assert (await told(guest))[-1] == ((), (), 0)


async def test_a_session_that_has_ended_is_not_there(house: House) -> None:
    guest = await house.listener()
    other = await a_subscriber(house)
    other.session.ended = True
    house.attendance.say(other.session, "t", typing=True)
    assert await told(guest) == []


@pytest.fixture
async def hasty(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house in which nobody types for longer than a moment."""
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), typing=0.0)):
        yield house


async def test_typing_ends_unless_it_is_said_again(hasty: House) -> None:
    guest = await hasty.listener()
    await guest.ask(wire.Presence, typing=True)
    while (seen := await told(guest))[-1][1]:
        assert seen[-1] == ((guest.session.id,), (guest.session.id,), 1)
    assert seen[-1] == ((guest.session.id,), (), 1)


async def test_saying_it_again_puts_the_end_of_typing_off(house: House) -> None:
    guest = await house.listener()
    attendance = Attendance(house.hub, pause=0)
    attendance.say(guest.session, "t", typing=True)
    first = attendance._rooms["t"].expiries[guest.session]
    attendance.say(guest.session, "t", typing=True)
    assert first.cancelled()
    attendance.say(guest.session, "t", typing=False)
    assert not attendance._rooms["t"].expiries
    attendance.drop("t")


async def test_who_subscribes_is_told_who_is_there_and_nobody_else_is(house: House) -> None:
    guest = await house.listener()
    assert await told(await a_subscriber(house)) == []
    await guest.ask(wire.Presence, typing=True)
    before = await told(guest)
    late = await a_subscriber(house)
    assert await told(late) == [((guest.session.id,), (guest.session.id,), 1)]
    assert await told(guest) == before
