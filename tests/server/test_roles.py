from __future__ import annotations

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.auth.digest import digest_of
from livethread_server.roles import RANKS, give, invite, revoke, role_of, suffices, take_up
from livethread_server.store.base import Access, Invite, Role
from tests.fakes import a_thread

THREAD = a_thread()
MOST = 4


def an_invite(token: str, role: Role = "viewer", expires: float = 100.0) -> Invite:
    return Invite(digest_of(token), role, expires)


def code_of(caught: pytest.ExceptionInfo[CommandError]) -> ErrorCode:
    return caught.value.code


def test_each_role_may_what_the_lesser_ones_may() -> None:
    roles: list[Role] = ["viewer", "participant", "owner"]
    assert list(RANKS) == roles
    for have, role in enumerate(roles):
        assert [suffices(role, need) for need in roles] == [have >= need for need in range(3)]
    assert not any(suffices(None, need) for need in roles)


def test_the_owner_is_one_without_a_share_and_others_are_what_they_were_given() -> None:
    access = give(THREAD, Access(), "bob", "participant", MOST)
    assert [role_of(THREAD, access, who) for who in ("alice", "bob", "eve", "")] == ["owner", "participant", None, None]
    access = give(THREAD, access, "bob", "viewer", MOST)
    assert role_of(THREAD, access, "bob") == "viewer"
    assert role_of(THREAD, give(THREAD, access, "bob", None, MOST), "bob") is None


@pytest.mark.parametrize("role", ["viewer", "participant", None])
def test_the_owner_cannot_be_anything_less(role: Role | None) -> None:
    with pytest.raises(CommandError) as caught:
        give(THREAD, Access({"bob": "owner"}), "alice", role, MOST)
    assert code_of(caught) is ErrorCode.FORBIDDEN
    assert give(THREAD, Access(), "alice", "owner", MOST) == Access()


def test_an_invite_gives_its_role_to_whoever_brings_it_in_time() -> None:
    access = invite(THREAD, Access(), an_invite("token", "participant"), 0, MOST)
    for who in ("bob", "carol"):
        taken = take_up(THREAD, access, digest_of("token"), who, 99.0, MOST)
        assert taken is not None
        assert role_of(THREAD, taken, who) == "participant"
    assert take_up(THREAD, access, digest_of("token"), "bob", 100.0, MOST) is None
    assert take_up(THREAD, access, digest_of("other"), "bob", 1.0, MOST) is None


def test_an_invite_takes_nothing_from_who_has_more() -> None:
    access = Access({"bob": "owner"}, (an_invite("token"),))
    for who in ("bob", "alice"):
        assert take_up(THREAD, access, digest_of("token"), who, 1.0, MOST) is access


def test_a_revoked_invite_is_worth_nothing_and_what_it_gave_stays() -> None:
    access = Access({"bob": "viewer"}, (an_invite("token"), an_invite("other")))
    left = revoke(access, digest_of("token"))
    assert left == Access({"bob": "viewer"}, (an_invite("other"),))
    assert revoke(left, digest_of("token")) is None


def test_people_and_open_invites_are_bounded_together() -> None:
    access = Access({"a": "viewer", "b": "viewer"}, (an_invite("x"), an_invite("y", expires=5.0)))
    with pytest.raises(CommandError) as given:
        give(THREAD, access, "c", "viewer", MOST)
    with pytest.raises(CommandError) as invited:
        invite(THREAD, access, an_invite("z"), 1.0, MOST)
    with pytest.raises(CommandError) as taken:
        take_up(THREAD, access, digest_of("x"), "c", 1.0, MOST)
    for caught in (given, invited, taken):
        assert (code_of(caught), caught.value.details["shares"]) == (ErrorCode.RATE_LIMITED, MOST)
    assert give(THREAD, access, "a", "owner", MOST).shares["a"] == "owner"
    # What has expired makes room.
    assert len(invite(THREAD, access, an_invite("z"), 6.0, MOST).invites) == 2
