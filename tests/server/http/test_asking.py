from __future__ import annotations

import msgspec
import pytest

from livethread import messages as wire
from livethread.errors import CommandError
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.messages import Mutation
from livethread_server.http.runs import NewRun
from livethread_server.http.sharing import Share
from livethread_server.http.threads import NewThread, ThreadChanges, ThreadListQuery, ThreadQuery
from tests.house import House

ELSEWHERE = {"id", "thread", "expect_version", "key"}
"""What a request says in its path and headers."""


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        *(
            (Mutation, wire.Mutate),
            (NewRun, wire.Generate),
            (Share, wire.ThreadShare),
            (ThreadChanges, wire.ThreadUpdate),
        ),
        *((ThreadQuery, wire.ThreadGet), (ThreadListQuery, wire.ThreadList)),
    ],
)
def test_a_request_may_say_all_that_its_command_can(part: type[msgspec.Struct], kind: type[wire.Command]) -> None:
    assert set(kind.__struct_fields__) - ELSEWHERE <= set(part.__struct_fields__)


def test_a_new_thread_may_have_its_id_in_the_body() -> None:
    body = msgspec.convert({"thread": "t", "title": "T"}, NewThread)
    assert command_of(wire.ThreadCreate, body) == wire.ThreadCreate(id=0, thread="t", title="T")


def test_a_part_keeps_types_and_defaults_and_refuses_what_it_does_not_know() -> None:
    part = part_of(wire.ThreadList, "Part", "A part.", more=(int | None, None))
    assert msgspec.to_builtins(msgspec.convert({}, part)) == {"limit": 50, "cursor": None, "more": None}
    for wrong in ({"limit": 0}, {"id": 1}, {"type": "thread.list"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, part)


async def test_what_the_types_let_through_is_checked_before_anybody_sees_it(house: House) -> None:
    alice = await house.listener()
    ops = (wire.Append(wire.Draft("user", "x" * 300_000)),)
    with pytest.raises(CommandError, match="too_large"):
        await ask(house.service, alice.session, wire.Generate(id=0, thread="t", run="r", ops=ops))
    assert not house.engine.submitted
