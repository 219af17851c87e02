from __future__ import annotations

from livethread.codec import JsonCodec
from livethread.model import Principal
from livethread_server.headcount import Headcount
from livethread_server.outbox import Outbox
from livethread_server.session import Session


def session(principal: str) -> Session:
    return Session(Outbox(JsonCodec(), 1), Principal(principal, principal))


def test_each_principal_has_room_of_his_own() -> None:
    people = Headcount(1)
    first, second = session("alice"), session("alice")
    assert people.enter(first)
    assert people.enter(first)
    assert not people.enter(second)
    assert people.enter(first), "whoever is in stays in, however many were refused"
    assert people.enter(session("bob"))
    assert len(people) == 2
    for _ in range(2):
        people.leave(first)
    assert people.enter(second)


def test_who_was_never_counted_leaves_nothing() -> None:
    people = Headcount(1)
    people.leave(session("alice"))
    assert len(people) == 0
