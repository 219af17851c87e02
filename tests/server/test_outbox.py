from __future__ import annotations

import asyncio

from livethread.codec import JsonCodec
from livethread.errors import CloseCode
from livethread.messages import RunDelta
from livethread_server.hub import Hub
from livethread_server.outbox import MERGE_BYTES, Outbox


def delta(start: int, text: str, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=start + 1, text=text)


async def test_a_slow_readers_deltas_are_merged_and_still_touch() -> None:
    hub, outbox = Hub(), Outbox(JsonCodec(), 1 << 22)
    hub.add("t", outbox)
    outbox.offer("x" * (MERGE_BYTES + 1))
    for number in range(50):
        hub.publish(delta(number, f"{number},"))
    frames = await outbox.take()
    assert len(frames) == 2
    merged = JsonCodec().decode(frames[1])
    assert (merged["from"], merged["to"]) == (0, 50)
    assert merged["text"] == "".join(f"{number}," for number in range(50))


async def test_deltas_of_different_runs_are_never_merged() -> None:
    outbox = Outbox(JsonCodec(), 1 << 22)
    outbox.offer("x" * (MERGE_BYTES + 1))
    for run in ("r1", "r2"):
        event = delta(0, run, run)
        outbox.offer(JsonCodec().encode(event), event)
    assert len(await outbox.take()) == 3


async def test_a_reader_too_far_behind_is_given_up_and_its_frames_let_go() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    outbox.offer("x" * 1001)
    assert outbox.closed is None
    outbox.offer("x")
    await outbox.wait_closed()
    assert outbox.closed is not None
    assert outbox.closed[0] is CloseCode.SLOW
    assert await outbox.take() == []
    outbox.offer("more")
    assert outbox.waiting_bytes == 0


async def test_closing_lets_what_waits_go_out_first() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.offer("last words")
    outbox.close(CloseCode.SHUTDOWN, "bye")
    assert await waiting == ["last words"]
    assert await outbox.take() == []


async def test_one_frame_goes_out_however_large_it_is() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    outbox.offer("x" * 5000)
    assert await outbox.take() == ["x" * 5000]
    outbox.offer("x" * 5000)
    assert outbox.closed is None


def test_what_waits_is_counted_in_bytes() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    outbox.offer("ü")
    outbox.offer(b"\xff")
    assert outbox.waiting_bytes == 3
