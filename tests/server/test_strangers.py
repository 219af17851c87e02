"""Two principals on one server: what belongs to one is as if it were not there for the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livethread import messages as wire
from livethread.codec import to_command
from livethread.errors import CommandError, ErrorCode
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


async def refused(guest: Guest, kind: type[wire.Command], **fields: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await guest.ask(kind, **fields)
    return caught.value


@pytest.fixture
async def alice(house: House) -> Guest:
    """The owner of the thread ``t``, who listens to it."""
    return await house.listener("alice")


@pytest.fixture
def eve(house: House) -> Guest:
    """Somebody to whom the thread ``t`` is as if it were not there."""
    return house.guest("eve")


async def bob_with(house: House, role: str) -> Guest:
    await house.guest("alice").ask(wire.ThreadShare, principal="bob", role=role)
    return house.guest("bob")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (wire.ThreadGet, {}),
        (wire.ThreadUpdate, {"title": "x"}),
        (wire.ThreadDelete, {}),
        (wire.ThreadShare, {"principal": "eve", "role": "owner"}),
        (wire.ThreadShare, {"principal": "eve", "role": "none"}),
        (wire.ThreadShare, {"invite": True, "role": "owner"}),
        (wire.ThreadFork, {}),
        (wire.Subscribe, {}),
        (wire.Mutate, {"ops": [USER], "key": "k"}),
        (wire.Generate, {"ops": [USER], "run": "mine", "key": "k"}),
        (wire.Generate, {"run": "r", "key": "k"}),
        (wire.ReadDraft, {"text": "x"}),
        (wire.Warm, {}),
        (wire.Evict, {}),
        (wire.Runs, {}),
    ],
)
@pytest.mark.parametrize("in_use", [True, False])
async def test_a_thread_of_somebody_else_is_answered_as_one_that_is_not_there(
    house: House, alice: Guest, eve: Guest, kind: type[wire.Command], fields: dict[str, Any], in_use: bool
) -> None:
    await alice.ask(wire.Generate, run="r", ops=[USER], key="k")
    before = (await alice.ask(wire.ThreadGet)).thread
    if not in_use:
        await alice.ask(wire.Cancel, run="r")
        await alice.next(wire.RunFinished)
        before = (await alice.ask(wire.ThreadGet)).thread
        house.lanes._lanes.clear()
    error = await refused(eve, kind, **({"thread": "t"} | fields))
    unknown = await refused(eve, kind, **({"thread": "u"} | fields))
    assert error.code is unknown.code is ErrorCode.NOT_FOUND
    assert error.message.replace("'t'", "'u'") == unknown.message
    assert {**error.details, "thread": "u"} == unknown.details
    assert (await alice.ask(wire.ThreadGet)).thread == before
    assert set(house.engine.submitted) == {"r"}


async def test_a_stranger_never_waits_for_a_thread_that_is_busy(house: House, alice: Guest, eve: Guest) -> None:
    async with house.lanes.hold("t", None):
        async with asyncio.timeout(5):
            for kind in (wire.ThreadGet, wire.Subscribe, wire.ThreadDelete):
                await refused(eve, kind)
            await refused(eve, wire.ThreadShare, invite="x")


async def test_a_run_of_somebody_else_cannot_be_seen_or_ended(house: House, alice: Guest, eve: Guest) -> None:
    await alice.ask(wire.Generate, run="r", ops=[USER])
    unknown = await refused(eve, wire.Cancel, run="nobody")
    for _ in range(2):
        error = await refused(eve, wire.Cancel, run="r")
        assert error.code is unknown.code is ErrorCode.NOT_FOUND
        assert error.message.replace("'r'", "'nobody'") == unknown.message
        assert house.service.cancel(eve.session, wire.Cancel(id=1, run="r")) is None
        assert (await eve.ask(wire.Runs)).runs == ()
        if not house.engine.cancelled:
            await alice.ask(wire.Cancel, run="r")
            await alice.next(wire.RunFinished)
    assert (await alice.ask(wire.Cancel, run="r")).state == "finished"


async def test_a_run_may_be_ended_by_every_participant_and_no_viewer(house: House, alice: Guest) -> None:
    bob = await bob_with(house, "viewer")
    await alice.ask(wire.Generate, run="r", ops=[USER])
    assert [run.id for run in (await bob.ask(wire.Runs)).runs] == ["r"]
    assert (await refused(bob, wire.Cancel, run="r")).code is ErrorCode.FORBIDDEN
    assert house.engine.cancelled == []
    bob = await bob_with(house, "participant")
    assert (await bob.ask(wire.Cancel, run="r")).state == "queued"
    finished = await alice.next(wire.RunFinished)
    assert (finished.reason, (await bob.ask(wire.Cancel, run="r")).state) == ("cancelled", "finished")


async def test_a_run_that_is_not_accepted_yet_is_ended_by_its_asker_only(
    house: House, alice: Guest, eve: Guest
) -> None:
    command = wire.Generate(id=1, thread="t", run="r")
    # That somebody else announced a run of this name first changes nothing.
    house.service.announce(eve.session, command)
    house.service.announce(alice.session, command)
    assert house.service.cancel(eve.session, wire.Cancel(id=2, run="r")) is not None
    await house.service.carry_out(alice.session, command, lambda ok: None)
    with pytest.raises(CommandError):
        await house.service.carry_out(eve.session, command, lambda ok: None)
    house.engine.start("r")
    house.engine.finish("r")
    assert (await alice.next(wire.RunFinished)).reason == "stop"
    assert house.service.cancel(eve.session, wire.Cancel(id=3, run="r")) is None


async def test_keys_and_run_ids_are_answered_to_who_used_them_first(house: House, alice: Guest) -> None:
    bob = await bob_with(house, "participant")
    mine = await alice.ask(wire.Mutate, ops=[USER], key="k")
    theirs = {"op": "append", "message": {"id": "u2", "role": "user", "content": "And me"}}
    assert (await bob.ask(wire.Mutate, ops=[theirs], key="k")).version == mine.version + 1
    assert await alice.ask(wire.Mutate, ops=[USER], key="k") == mine
    first = await bob.ask(wire.Generate, run="r")
    assert await bob.ask(wire.Generate, run="r") == first
    assert (await refused(alice, wire.Generate, run="r")).code is ErrorCode.EXISTS
    assert list(house.engine.submitted) == ["r"]
    assert house.engine.submitted["r"].tenant == "alice"
    assert [run.by.id for run in (await alice.ask(wire.Runs)).runs] == ["bob"]


async def test_a_key_is_worth_nothing_without_the_share_it_was_used_with(house: House, alice: Guest) -> None:
    bob = await bob_with(house, "participant")
    await bob.ask(wire.Mutate, ops=[USER], key="k")
    await alice.ask(wire.ThreadShare, principal="bob", role="none")
    assert (await refused(bob, wire.Mutate, ops=[USER], key="k")).code is ErrorCode.NOT_FOUND


async def test_a_cursor_of_somebody_else_leads_to_ones_own_threads(house: House, alice: Guest, eve: Guest) -> None:
    for name in ("e1", "e2"):
        await eve.ask(wire.ThreadCreate, thread=name)
    for name in ("a1", "a2"):
        await alice.ask(wire.ThreadCreate, thread=name)
    cursor = (await alice.ask(wire.ThreadList, limit=1)).cursor
    assert [thread.id for thread in (await eve.ask(wire.ThreadList, cursor=cursor)).threads] == ["e2", "e1"]


async def test_messages_are_named_within_their_thread_only(house: House, alice: Guest, eve: Guest) -> None:
    await alice.ask(wire.Mutate, ops=[USER])
    await eve.ask(wire.ThreadCreate, thread="e")
    for kind, fields in (
        (wire.ThreadGet, {"before": "u1"}),
        (wire.ThreadFork, {"at": "u1"}),
        (wire.Mutate, {"ops": [{"op": "edit", "message": "u1", "content": "x"}]}),
    ):
        assert (await refused(eve, kind, thread="e", **fields)).code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("odd", ["../t", "t/../t", "t\0", "t%00", "./t", "t ", "", "t" * 65, "т", "t\n"])
def test_ids_that_try_to_lead_elsewhere_are_no_ids(odd: str) -> None:
    for plain in ({"type": "thread.get", "thread": odd}, {"type": "cancel", "run": odd}):
        with pytest.raises(CommandError) as caught:
            to_command({"id": 1, **plain})
        assert (caught.value.code, caught.value.details["field"]) == (ErrorCode.BAD_REQUEST, list(plain)[1])


async def test_ids_that_differ_in_case_are_two(alice: Guest) -> None:
    assert (await refused(alice, wire.ThreadGet, thread="T")).code is ErrorCode.NOT_FOUND


async def test_two_owners_share_no_context_though_their_words_are_the_same(house: House) -> None:
    for name in ("alice", "bob"):
        guest = house.guest(name)
        await guest.ask(wire.ThreadCreate, thread=name)
        await guest.ask(wire.Generate, thread=name, run=f"r-{name}", ops=[USER])
    mine, theirs = house.engine.submitted["r-alice"], house.engine.submitted["r-bob"]
    assert mine.tokens == theirs.tokens
    assert (mine.tenant, theirs.tenant, mine.shared) == ("alice", "bob", 0)
