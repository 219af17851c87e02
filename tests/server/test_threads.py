from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livethread.codec import JsonCodec
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Reuse, ThreadResidency
from livethread.model import MESSAGE_BYTES, Sampling
from livethread_server.engine.wire import Moved, Started
from livethread_server.hub import Hub
from livethread_server.lanes import Lane
from livethread_server.live_run import LiveRun
from livethread_server.outbox import Outbox
from livethread_server.prompt import Prompt
from livethread_server.store.base import Turn
from livethread_server.threads import Residencies, excerpt, run_snapshot, snapshot
from tests.fakes import a_run, a_thread, a_turn


def turns(count: int, size: int = 1) -> tuple[Turn, ...]:
    return tuple(a_turn(number, "x" * size) for number in range(count))


def ids(shown: tuple[Any, bool]) -> tuple[list[str], bool]:
    return [message.id for message in shown[0].messages], shown[1]


def test_a_snapshot_holds_the_newest_messages_and_says_whether_there_are_more() -> None:
    assert ids(snapshot(a_thread(), ())) == ([], False)
    assert ids(snapshot(a_thread(), turns(3))) == (["m0", "m1", "m2"], False)
    assert ids(snapshot(a_thread(), turns(5, 100_000))) == (["m3", "m4"], True)


def test_a_snapshot_is_bounded_as_it_travels_not_as_it_is_stored() -> None:
    shown, more = snapshot(a_thread(), tuple(a_turn(n, "\x01" * 30_000) for n in range(9)))
    assert more
    assert len(msgspec.json.encode(shown)) < MESSAGE_BYTES + 10_000


def test_the_newest_message_is_shown_however_large_it_is() -> None:
    assert ids(snapshot(a_thread(), turns(2, MESSAGE_BYTES))) == (["m1"], True)


def test_an_excerpt_ends_before_a_message_and_keeps_to_its_limit() -> None:
    assert ids(excerpt(a_thread(), turns(5), "m3", 2)) == (["m1", "m2"], True)
    assert ids(excerpt(a_thread(), turns(5), "m0", None)) == ([], False)
    with pytest.raises(CommandError) as caught:
        excerpt(a_thread(), turns(1), "nobody", None)
    assert (caught.value.code, caught.value.details["field"]) == (ErrorCode.NOT_FOUND, "before")


def test_only_a_run_that_streams_has_a_snapshot() -> None:
    lane = Lane("t")
    assert run_snapshot(lane) is msgspec.UNSET
    run = LiveRun(a_run(), Sampling(), Sampling(), "s")
    lane.runs.append(run)
    assert run_snapshot(lane) is msgspec.UNSET
    run.started = Started(1, 0, 0.0, 0.0)
    assert run_snapshot(lane) == run.snapshot()


async def test_a_move_is_told_once_and_cold_is_what_is_not_known() -> None:
    hub, outbox = Hub(), Outbox(JsonCodec(), 1 << 20)
    hub.add("t", outbox)
    residencies = Residencies(hub)
    assert residencies.of("t") == "cold"
    for tokens in (5, 6):
        residencies.moved(Moved("t", "live", tokens))
    assert residencies.shown(a_thread()).residency == "live"
    residencies.moved(Moved("t", "cold", 0))
    residencies.moved(Moved("t", "cold", 0))
    told = [ThreadResidency(thread="t", residency=where) for where in ("live", "cold")]
    assert await outbox.take() == [JsonCodec().encode(event) for event in told]


def test_reuse_counts_from_the_first_message_that_changed() -> None:
    residencies, lane = Residencies(Hub()), Lane("t")
    before = turns(4)
    edited = (*before[:1], a_turn(1, "new"), *before[2:])
    assert residencies.reuse(lane, before, edited) is None
    residencies.moved(Moved("t", "live", 100))
    assert residencies.reuse(lane, before, edited) is None
    # The last prompt was for m2, which began at token 80; m3 came after it and is not in the context.
    lane.prompt = Prompt((1,) * 80, {"m0": 10, "m1": 40, "m2": 80}, {"m0": 30, "m1": 70, "m2": 80})
    assert residencies.reuse(lane, before, edited) == Reuse(40, 60)
    assert residencies.reuse(lane, before, before[:2]) == Reuse(80, 20)
    assert residencies.reuse(lane, before, (*before[:3], a_turn(3, "new"))) == Reuse(100, 0)
    assert residencies.reuse(lane, before, (*before, a_turn(9))) == Reuse(100, 0)
