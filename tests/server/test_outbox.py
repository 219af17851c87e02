from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from livethread.codec import JsonCodec, MsgpackCodec
from livethread.errors import CloseCode
from livethread.messages import RunDelta
from livethread.model import FRAME_BYTES, TokenLogprob
from livethread_server.outbox import FULL, Outbox

LIMIT = 1 << 20


def delta(start: int, text: str, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=start + 1, text=text)


def offer(outbox: Outbox, event: RunDelta) -> None:
    outbox.offer(outbox.codec.encode(event), event)


def full(codec: JsonCodec | MsgpackCodec | None = None) -> Outbox:
    outbox = Outbox(codec or JsonCodec(), LIMIT)
    outbox.offer("x" * (int(LIMIT * FULL) + 1))
    return outbox


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()])
def test_a_slow_readers_deltas_are_merged_and_still_touch(codec: JsonCodec | MsgpackCodec) -> None:
    outbox = full(codec)
    for number in range(50):
        offer(outbox, delta(number, f"{number},"))
    frames = outbox.pop(LIMIT)
    assert len(frames) == 2
    merged = codec.decode(frames[1])
    assert (merged["from"], merged["to"]) == (0, 50)
    assert merged["text"] == "".join(f"{number}," for number in range(50))


def test_merged_logprobs_count_and_stay_within_frames() -> None:
    outbox = Outbox(JsonCodec(), 8 * FRAME_BYTES)
    outbox.offer("x" * (2 * FRAME_BYTES + 1))
    likely = (TokenLogprob(1, "a" * 1000, (97,) * 1000, -1.0),)
    before = outbox.waiting_bytes
    for number in range(500):
        offer(outbox, replace(delta(number, "a"), logprobs=likely))
    waited = outbox.waiting_bytes - before
    frames = [JsonCodec().decode(frame) for frame in outbox.pop(8 * FRAME_BYTES)[1:]]
    sizes = [len(JsonCodec().encode(replace(delta(0, ""), logprobs=likely * len(one["logprobs"])))) for one in frames]
    assert 2 < len(frames) < 50
    assert max(sizes) < FRAME_BYTES
    assert sum(sizes) <= waited
    assert [number for one in frames for number in (one["from"], one["to"])][1:-1:2] == [
        one["from"] for one in frames[1:]
    ]
    assert sum(len(one["logprobs"]) for one in frames) == 500


def test_deltas_of_runs_that_stream_side_by_side_are_merged_each_with_its_own() -> None:
    outbox = full()
    for number in range(10):
        for run in ("r1", "r2"):
            offer(outbox, delta(number, run, run))
    merged = [JsonCodec().decode(frame) for frame in outbox.pop(LIMIT)[1:]]
    assert [(one["run"], one["from"], one["to"], one["text"]) for one in merged] == [
        ("r1", 0, 10, "r1" * 10),
        ("r2", 0, 10, "r2" * 10),
    ]


def test_no_delta_overtakes_what_is_no_delta() -> None:
    outbox = full()
    offer(outbox, delta(0, "a"))
    offer(outbox, delta(1, "b"))
    outbox.offer("durable")
    offer(outbox, delta(2, "c"))
    offer(outbox, delta(3, "d"))
    _, before, durable, after = outbox.pop(LIMIT)
    assert durable == "durable"
    assert [JsonCodec().decode(frame)["text"] for frame in (before, after)] == ["ab", "cd"]


def test_deltas_that_do_not_touch_are_not_merged() -> None:
    outbox = full()
    offer(outbox, delta(0, "a"))
    offer(outbox, delta(5, "b"))
    assert len(outbox.pop(LIMIT)) == 3


def test_a_reader_that_keeps_up_gets_every_delta() -> None:
    outbox = Outbox(JsonCodec(), LIMIT)
    for number in range(3):
        offer(outbox, delta(number, "x"))
    assert len(outbox.pop(LIMIT)) == 3


def test_merged_text_counts_until_the_reader_is_given_up() -> None:
    outbox = full()
    for number in range(1000):
        offer(outbox, delta(number, "x" * 1000))
    assert outbox.closed is not None
    assert outbox.closed[0] is CloseCode.SLOW


def test_a_reader_too_far_behind_is_given_up_and_its_frames_let_go() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    outbox.offer("x" * 1001)
    assert outbox.closed is None
    outbox.offer("x")
    assert outbox.closed == (CloseCode.SLOW, "more than 1000 bytes were waiting to be read")
    assert outbox.pop(LIMIT) == []
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


def test_frames_are_taken_in_order_and_in_pieces() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    for text in ("one", "two", "three"):
        outbox.offer(text)
    assert outbox.pop(4) == ["one", "two"]
    assert outbox.pop(1) == ["three"]
    assert outbox.pop(1) == []
    assert outbox.waiting_bytes == 0


def test_whoever_writes_is_told_of_every_change() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    told: list[int] = []
    outbox.on_change = lambda: told.append(outbox.waiting_bytes)
    outbox.offer("one")
    outbox.close(CloseCode.SHUTDOWN, "bye")
    outbox.close(CloseCode.SHUTDOWN, "bye")
    outbox.offer("two")
    assert told == [3, 3]


def test_what_waits_is_counted_in_bytes() -> None:
    outbox = Outbox(JsonCodec(), 1000)
    outbox.offer("ü")
    outbox.offer(b"\xff")
    assert outbox.waiting_bytes == 3


async def test_its_end_is_known_to_who_does_not_read_it() -> None:
    outbox = full()
    waiting = [asyncio.create_task(outbox.ended()) for _ in range(2)]
    await asyncio.sleep(0)
    outbox.close(CloseCode.UNAUTHORIZED, "The token has expired.")
    assert await asyncio.gather(*waiting, outbox.ended()) == [(CloseCode.UNAUTHORIZED, "The token has expired.")] * 3
    assert len(outbox.pop(LIMIT)) == 1
