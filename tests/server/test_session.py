from __future__ import annotations

from livethread.codec import JsonCodec
from livethread_server.outbox import Outbox
from livethread_server.session import ANYONE, Session


def test_a_session_is_anyone_by_default_and_has_an_id_of_its_own() -> None:
    one, two = (Session(Outbox(JsonCodec(), 1)) for _ in range(2))
    assert one.principal is ANYONE
    assert one.id != two.id
    assert not one.ended
