from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread_server.store.base import Access, Role
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


async def refused(guest: Guest, kind: type[wire.Command], **fields: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await guest.ask(kind, **fields)
    return caught.value


async def share(guest: Guest, **fields: Any) -> Any:
    return await guest.ask(wire.ThreadShare, **fields)


async def with_role(house: House, role: str, name: str = "bob") -> Guest:
    """A guest with a role on alice's thread ``t``."""
    await share(house.guest("alice"), principal=name, role=role)
    return house.guest(name)


@pytest.fixture
async def alice(house: House) -> Guest:
    """The owner of the thread ``t``, who listens to it."""
    return await house.listener("alice")


NEEDS: list[tuple[Role, type[wire.Command], dict[str, Any]]] = [
    ("viewer", wire.ThreadGet, {}),
    ("viewer", wire.Subscribe, {}),
    ("viewer", wire.Runs, {"thread": "t"}),
    ("viewer", wire.ThreadFork, {}),
    ("participant", wire.Mutate, {"ops": [USER]}),
    ("participant", wire.ReadDraft, {"text": "x"}),
    ("participant", wire.Generate, {"ops": [USER]}),
    ("owner", wire.ThreadUpdate, {"title": "x"}),
    ("owner", wire.ThreadShare, {"principal": "carol", "role": "viewer"}),
    ("owner", wire.ThreadShare, {"invite": True, "role": "viewer"}),
    ("owner", wire.Warm, {}),
    ("owner", wire.Evict, {}),
    ("owner", wire.ThreadDelete, {}),
]


@pytest.mark.parametrize("role", ["viewer", "participant", "owner"])
@pytest.mark.parametrize(("need", "kind", "fields"), NEEDS)
async def test_a_role_allows_what_it_is_for_and_no_more(
    house: House, alice: Guest, role: str, need: str, kind: type[wire.Command], fields: dict[str, Any]
) -> None:
    bob = await with_role(house, role)
    roles = ["viewer", "participant", "owner"]
    if roles.index(role) >= roles.index(need):
        await bob.ask(kind, **fields)
        return
    error = await refused(bob, kind, **fields)
    assert (error.code, error.details["need"]) == (ErrorCode.FORBIDDEN, need)
    assert (await alice.ask(wire.ThreadGet)).thread.version == 0


async def test_shared_threads_are_in_the_list_of_both_and_gone_with_the_share(house: House, alice: Guest) -> None:
    bob = await with_role(house, "viewer")
    await bob.ask(wire.ThreadCreate, thread="bobs")
    assert [thread.id for thread in (await bob.ask(wire.ThreadList)).threads] == ["bobs", "t"]
    assert [thread.id for thread in (await alice.ask(wire.ThreadList)).threads] == ["t"]
    await share(alice, principal="bob", role="none")
    assert [thread.id for thread in (await bob.ask(wire.ThreadList)).threads] == ["bobs"]
    assert (await refused(bob, wire.ThreadGet)).code is ErrorCode.NOT_FOUND


async def test_who_loses_a_thread_hears_nothing_of_it_from_then_on(house: House, alice: Guest) -> None:
    bob, again, carol = await with_role(house, "viewer"), house.guest("bob"), await with_role(house, "viewer", "carol")
    for guest in (bob, again, carol):
        await guest.ask(wire.Subscribe)
    await alice.ask(wire.Mutate, ops=[USER])
    await share(alice, principal="bob", role="none")
    await alice.ask(wire.ThreadUpdate, title="secret")
    for guest in (bob, again):
        assert [type(event) for event in await guest.heard()] == [wire.ThreadMutated, wire.ThreadGone]
    assert (await carol.next(wire.ThreadUpdated)).title == "secret"
    assert len(house.hub._outboxes["t"]) == 2


async def test_a_subscribe_that_waits_while_the_share_is_taken_is_refused(house: House, alice: Guest) -> None:
    bob = await with_role(house, "viewer")
    async with house.lanes.hold("t", None) as lane:
        waiting = asyncio.create_task(bob.ask(wire.Subscribe))
        for _ in range(5):
            await asyncio.sleep(0)
        await house.lanes.share(lane, Access())
    with pytest.raises(CommandError):
        await waiting
    assert len(house.hub._outboxes["t"]) == 1


async def test_a_lesser_role_goes_on_listening(house: House, alice: Guest) -> None:
    bob = await with_role(house, "owner")
    await bob.ask(wire.Subscribe)
    await share(alice, principal="bob", role="viewer")
    await alice.ask(wire.Mutate, ops=[USER])
    await bob.next(wire.ThreadMutated)
    assert (await refused(bob, wire.Mutate, ops=[USER])).code is ErrorCode.FORBIDDEN


async def test_everybody_may_leave_but_the_owner(house: House, alice: Guest) -> None:
    bob = await with_role(house, "viewer")
    await bob.ask(wire.Subscribe)
    assert (await refused(bob, wire.ThreadShare, principal="alice", role="none")).code is ErrorCode.FORBIDDEN
    await share(bob, principal="bob", role="none")
    assert isinstance((await bob.heard())[-1], wire.ThreadGone)
    carol = await with_role(house, "owner", "carol")
    for guest, role in ((alice, "none"), (alice, "viewer"), (carol, "none")):
        error = await refused(guest, wire.ThreadShare, principal="alice", role=role)
        assert (error.code, error.details["field"]) == (ErrorCode.FORBIDDEN, "principal")
    assert (await alice.ask(wire.ThreadGet)).thread.owner == "alice"


async def test_an_invite_is_taken_up_by_whoever_brings_it(house: House, alice: Guest) -> None:
    made = await share(alice, invite=True, role="participant", expires_s=60)
    assert made.invite is not None
    assert made.expires_at is not None
    assert "T" in made.expires_at
    for name in ("bob", "carol"):
        guest = house.guest(name)
        assert await share(guest, invite=made.invite) == wire.ShareOk()
        await guest.ask(wire.Mutate, ops=[{"op": "append", "message": {"role": "user", "content": name}}])
    assert made.invite not in repr(house.store.__dict__)
    access = (await house.store.load("t")).access
    assert made.invite not in repr(access)
    assert access.invites[0].expires == pytest.approx(time.time() + 60, abs=30)


async def test_an_invite_that_does_not_hold_is_answered_alike_for_any_thread(
    house: House, alice: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked = (await share(alice, invite=True, role="viewer")).invite
    await share(alice, invite=revoked, role="none")
    expired = (await share(alice, invite=True, role="viewer", expires_s=1)).invite
    await alice.ask(wire.ThreadCreate, thread="other")
    elsewhere = (await share(alice, thread="other", invite=True, role="viewer")).invite
    bob, moment = house.guest("bob"), time.time() + 10
    monkeypatch.setattr(time, "time", lambda: moment)
    unknown = await refused(bob, wire.ThreadShare, thread="u", invite="x")
    for token in (revoked, expired, elsewhere, "x"):
        error = await refused(bob, wire.ThreadShare, invite=token)
        assert (error.code, error.details["field"]) == (ErrorCode.NOT_FOUND, "invite")
        assert error.message.replace("'t'", "'u'") == unknown.message
        assert token == "x" or token not in str(error)
    assert (await refused(bob, wire.ThreadGet)).code is ErrorCode.NOT_FOUND


async def test_only_an_owner_revokes_and_only_what_there_is(house: House, alice: Guest) -> None:
    token = (await share(alice, invite=True, role="viewer")).invite
    bob = await with_role(house, "participant")
    assert (await refused(bob, wire.ThreadShare, invite=token, role="none")).code is ErrorCode.FORBIDDEN
    eve = house.guest("eve")
    assert (await refused(eve, wire.ThreadShare, invite=token, role="none")).code is ErrorCode.NOT_FOUND
    assert (await refused(alice, wire.ThreadShare, invite="x", role="none")).details["field"] == "invite"
    await share(eve, invite=token)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "principal"),
        ({"role": "viewer"}, "principal"),
        ({"principal": "bob", "invite": True, "role": "viewer"}, "principal"),
        ({"principal": "bob"}, "role"),
        ({"principal": "bob", "role": "viewer", "expires_s": 5}, "expires_s"),
        ({"principal": "b\nb", "role": "viewer"}, "principal"),
        ({"invite": True}, "role"),
        ({"invite": True, "role": "none"}, "role"),
        ({"invite": False, "role": "viewer"}, "invite"),
        ({"invite": "", "role": "none"}, "invite"),
        ({"invite": "x", "role": "viewer"}, "role"),
        ({"invite": "x", "expires_s": 5}, "expires_s"),
    ],
)
async def test_fields_that_do_not_go_together_are_refused(
    house: House, alice: Guest, fields: dict[str, Any], field: str
) -> None:
    error = await refused(alice, wire.ThreadShare, **fields)
    assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, field)


async def test_shares_of_a_thread_are_bounded(house: House, alice: Guest) -> None:
    for number in range(8):
        await share(alice, principal=f"p{number}", role="viewer")
    for fields in ({"principal": "one more", "role": "viewer"}, {"invite": True, "role": "viewer"}):
        assert (await refused(alice, wire.ThreadShare, **fields)).code is ErrorCode.RATE_LIMITED
    await share(alice, principal="p1", role="owner")
    await share(alice, principal="p0", role="none")
    await share(alice, invite=True, role="viewer")


async def test_a_deleted_thread_leaves_no_share_behind_and_a_fork_takes_none(house: House, alice: Guest) -> None:
    bob, carol = await with_role(house, "owner"), await with_role(house, "viewer", "carol")
    fork = (await carol.ask(wire.ThreadFork, new_thread="f")).thread
    assert (fork.owner, fork.forked_from.thread) == ("carol", "t")
    for guest in (alice, bob):
        assert (await refused(guest, wire.ThreadGet, thread="f")).code is ErrorCode.NOT_FOUND
    await bob.ask(wire.ThreadDelete)
    await alice.ask(wire.ThreadCreate, thread="t")
    assert (await refused(bob, wire.ThreadGet)).code is ErrorCode.NOT_FOUND


async def test_who_watches_sees_threads_come_and_go_with_his_share(house: House, alice: Guest) -> None:
    bob = house.guest("bob")
    await bob.ask(wire.Watch)
    token = (await share(alice, invite=True, role="viewer")).invite
    await share(bob, invite=token)
    assert (await bob.next(wire.ThreadCreated)).summary.id == "t"
    await alice.ask(wire.ThreadUpdate, title="ours")
    assert (await bob.next(wire.ThreadChanged)).summary.title == "ours"
    await share(alice, principal="bob", role="none")
    await bob.next(wire.ThreadGone)
    await alice.ask(wire.ThreadUpdate, title="mine")
    await alice.next(wire.ThreadUpdated, title="mine")
    while house.watching.behind:  # noqa: ASYNC110 - it is the test's own wait, and short
        await asyncio.sleep(0)
    assert isinstance((await bob.heard())[-1], wire.ThreadGone)


async def test_only_participants_are_seen_to_be_there(house: House, alice: Guest) -> None:
    bob = await with_role(house, "participant")
    await bob.ask(wire.Subscribe)
    await bob.ask(wire.Presence, typing=True)
    assert [here.id for here in (await alice.next(wire.PresenceChanged)).here] == ["bob"]
    await share(alice, principal="bob", role="viewer")
    await alice.next(wire.PresenceChanged, here=())
    assert (await refused(bob, wire.Presence)).code is ErrorCode.FORBIDDEN
