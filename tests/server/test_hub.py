from __future__ import annotations

from livethread.codec import JsonCodec, MsgpackCodec
from livethread.messages import RunDelta, ThreadResidency
from livethread_server.hub import Hub
from livethread_server.outbox import Outbox


async def test_only_subscribers_of_a_thread_get_its_events_each_in_its_encoding() -> None:
    hub, json, msgpack, other = Hub(), *(Outbox(codec, 1 << 20) for codec in (JsonCodec(), MsgpackCodec(), JsonCodec()))
    hub.add("t", json)
    hub.add("t", json)
    hub.add("t", msgpack)
    hub.add("u", other)
    event = ThreadResidency(thread="t", residency="live")
    hub.publish(event)
    assert await json.take() == [JsonCodec().encode(event)]
    assert await msgpack.take() == [MsgpackCodec().encode(event)]
    assert other.waiting_bytes == 0


async def test_who_unsubscribed_hears_nothing_more() -> None:
    hub, outbox = Hub(), Outbox(JsonCodec(), 1 << 20)
    hub.add("t", outbox)
    hub.remove("t", outbox)
    hub.remove("t", outbox)
    hub.publish(RunDelta(thread="t", run="r", start=0, to=1, text="x"))
    assert outbox.waiting_bytes == 0


async def test_who_leaves_or_whose_thread_goes_is_remembered_nowhere() -> None:
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
