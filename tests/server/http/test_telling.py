from __future__ import annotations

import msgspec
import pytest

from livethread.codec import JsonCodec
from livethread.errors import CloseCode, CommandError
from livethread.messages import (
    Event,
    RunDelta,
    RunProgress,
    RunSnapshot,
    Since,
    SubscribeOk,
    ThreadDeleted,
    ThreadResidency,
)
from livethread.model import Principal
from livethread_server.http.telling import Telling, position_of, since_of, told
from livethread_server.outbox import Outbox

OK = SubscribeOk(epoch="e", seq=3, version=1, recovered=False)
GONE = ThreadDeleted(thread="t", seq=4, version=1, by=Principal("a", "a"))


async def parts(telling: Telling, *events: Event) -> list[list[str]]:
    outbox = Outbox(JsonCodec(), 1 << 20)
    for event in events:
        outbox.offer(outbox.codec.encode(event))
    return [telling.part(frame, head).decode().splitlines() for frame, head in await told(outbox)]


async def test_positions_say_how_far_the_stream_and_the_text_have_come() -> None:
    telling = Telling(msgspec.structs.replace(OK, run=RunSnapshot("r", "m", 0, 2, "Good")))
    assert telling.position == "e:3:r:2"
    assert position_of(OK) == "e:3"
    (delta,) = await parts(telling, RunDelta(thread="t", run="r", start=2, to=5, text=" day\n"))
    assert delta[:2] == ["event: run.delta", "id: e:3:r:5"]
    assert delta[2] == 'data: {"type":"run.delta","thread":"t","run":"r","from":2,"to":5,"text":" day\\n"}'
    (gone,) = await parts(telling, GONE)
    assert gone[:2] == ["event: thread.deleted", "id: e:4:r:5"]


async def test_what_passes_moves_no_position() -> None:
    passing = [
        ThreadResidency(thread="t", residency="live"),
        RunProgress(thread="t", run="r", cached=0, processed=1, total=2),
    ]
    assert [part[1][:5] for part in await parts(Telling(OK), *passing)] == ["data:", "data:"]


def test_a_position_is_the_wires_since() -> None:
    assert since_of("e:3") == Since("e", 3)
    assert since_of("e_1:3:r_1:5") == Since("e_1", 3, "r_1", 5)


@pytest.mark.parametrize("position", ["", "e", "e:", ":1", "e:x", "e:1:r", "e:1:r r:1", "e:1:r:1:x", "e" * 65 + ":1"])
def test_what_is_no_position_is_refused(position: str) -> None:
    with pytest.raises(CommandError, match="no id of an event"):
        since_of(position)


async def test_the_end_of_a_session_is_told_by_its_reason() -> None:
    for code, sentence in ((CloseCode.UNAUTHORIZED, "expired"), (CloseCode.SLOW, "too slowly")):
        outbox = Outbox(JsonCodec(), 1 << 20)
        outbox.close(code, "The token has expired.")
        with pytest.raises(CommandError, match=sentence):
            await told(outbox)
    outbox = Outbox(JsonCodec(), 1 << 20)
    outbox.offer(outbox.codec.encode(GONE))
    outbox.close(CloseCode.SHUTDOWN, "")
    assert [head.type for _, head in await told(outbox)] == ["thread.deleted"]
    assert await told(outbox) == []
