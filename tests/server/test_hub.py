from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livethread.codec import JsonCodec, MsgpackCodec
from livethread.messages import RunDelta, ThreadResidency
from livethread_server import hub as hub_module
from livethread_server.hub import CROWD, CROWD_SECONDS, FEW, Hub, tick
from livethread_server.outbox import Outbox

MOVED = ThreadResidency(thread="t", residency="live")


def delta(start: int, run: str = "r", thread: str = "t") -> RunDelta:
    return RunDelta(thread=thread, run=run, start=start, to=start + 1, text=f"{start},")


def crowd(hub: Hub, size: int = FEW + 1) -> list[Outbox]:
    outboxes = [Outbox(JsonCodec(), 1 << 20) for _ in range(size)]
    for outbox in outboxes:
        hub.add("t", outbox)
    return outboxes


def heard(outbox: Outbox) -> list[dict[str, Any]]:
    return [JsonCodec().decode(frame) for frame in outbox.pop(1 << 20)]


def spans(outbox: Outbox) -> list[tuple[int, int]]:
    return [(one["from"], one["to"]) for one in heard(outbox)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd's tick lasts until the test is over."""
    monkeypatch.setattr(hub_module, "CROWD_SECONDS", 1e6)


async def test_only_subscribers_of_a_thread_get_its_events_each_in_its_encoding() -> None:
    hub, json, msgpack, other = Hub(), *(Outbox(codec, 1 << 20) for codec in (JsonCodec(), MsgpackCodec(), JsonCodec()))
    hub.add("t", json)
    hub.add("t", json)
    hub.add("t", msgpack)
    hub.add("u", other)
    hub.publish(MOVED)
    assert await json.take() == [JsonCodec().encode(MOVED)]
    assert await msgpack.take() == [MsgpackCodec().encode(MOVED)]
    assert other.waiting_bytes == 0


def test_who_unsubscribed_hears_nothing_more() -> None:
    hub, outbox = Hub(), Outbox(JsonCodec(), 1 << 20)
    hub.add("t", outbox)
    hub.remove("t", outbox)
    hub.remove("t", outbox)
    hub.publish(delta(0))
    assert outbox.waiting_bytes == 0


def test_who_leaves_or_whose_thread_goes_is_remembered_nowhere() -> None:
    hub, outbox = Hub(), Outbox(JsonCodec(), 1 << 20)
    for thread in ("t", "u", "v"):
        hub.add(thread, outbox)
    hub.drop("t")
    hub.remove("u", outbox)
    assert hub.threads(outbox) == {"v"}
    hub.leave(outbox)
    hub.leave(outbox)
    assert hub.threads(outbox) == frozenset()
    hub.publish(ThreadResidency(thread="v", residency="live"))
    assert outbox.waiting_bytes == 0


def test_the_tick_is_nothing_for_a_few_and_grows_with_the_crowd() -> None:
    assert [tick(few) for few in (0, 1, FEW)] == [0, 0, 0]
    assert 0 < tick(FEW + 1) < tick(100) < tick(CROWD) == CROWD_SECONDS < tick(5 * CROWD)


def test_a_few_hear_every_delta_at_once() -> None:
    hub = Hub()
    first, *_ = crowd(hub, FEW)
    for number in range(3):
        hub.publish(delta(number))
    assert spans(first) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.usefixtures("patient")
async def test_a_crowd_hears_the_first_token_at_once_and_the_next_ones_together() -> None:
    hub = Hub()
    first, *_, last = crowd(hub)
    hub.publish(delta(0))
    assert spans(first) == spans(last) == [(0, 1)]
    for number in range(1, 4):
        hub.publish(delta(number))
    assert first.waiting_bytes == 0
    hub.publish(MOVED)
    events = heard(last)
    assert [(one.get("from"), one.get("to"), one.get("text")) for one in events] == [
        (1, 4, "1,2,3,"),
        (None, None, None),
    ]
    hub.publish(delta(0, "another run"))
    assert heard(first)[-1]["run"] == "another run"
    hub.drop("t")


async def test_after_the_tick_a_crowd_hears_what_came_in_it() -> None:
    hub = Hub()
    outbox, *_ = crowd(hub)
    hub.publish(delta(0))
    hub.publish(delta(1))
    hub.publish(delta(2))
    told = [*spans(outbox)]
    async with asyncio.timeout(10):
        while len(told) < 2:
            told += [(one["from"], one["to"]) for one in map(JsonCodec().decode, await outbox.take())]
        while hub._pauses:  # noqa: ASYNC110 - there is nothing to wait for but time
            await asyncio.sleep(0.001)
    assert told == [(0, 1), (1, 3)]
    hub.publish(delta(3))
    assert spans(outbox) == [(3, 4)]
    hub.drop("t")


@pytest.mark.usefixtures("patient")
async def test_who_joins_in_the_middle_of_a_tick_hears_only_what_comes_behind() -> None:
    hub, late = Hub(), Outbox(JsonCodec(), 1 << 20)
    early, *_ = crowd(hub)
    hub.publish(delta(0))
    hub.publish(delta(1))
    hub.add("t", late)
    assert spans(early) == [(0, 1), (1, 2)]
    hub.publish(delta(2))
    hub.flush("t")
    assert spans(late) == spans(early) == [(2, 3)]
    hub.drop("t")


@pytest.mark.usefixtures("patient")
async def test_nothing_is_left_of_a_tick_when_the_last_one_goes() -> None:
    hub = Hub()
    outboxes = crowd(hub)
    hub.publish(delta(0))
    hub.publish(delta(1))
    for outbox in outboxes:
        hub.leave(outbox)
    assert hub._pauses == {}
    crowd(hub)
    hub.publish(delta(0))
    hub.drop("t")
    assert hub._pauses == {}
