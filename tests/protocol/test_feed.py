"""Events on their way to one reader."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from livethread.errors import ConnectionClosed, FellBehind
from livethread.feed import Feed
from livethread.messages import Event, RunDelta, RunProgress, ThreadResidency
from livethread.model import TokenLogprob


def delta(start: int, to: int, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=to, text="x" * (to - start))


def residency() -> ThreadResidency:
    return ThreadResidency(thread="t", residency="ram")


async def read(feed: Feed) -> list[Event]:
    return [event async for event in feed]


async def test_events_come_in_order_and_then_the_feed_ends() -> None:
    feed = Feed()
    reading = asyncio.create_task(read(feed))
    for event in (delta(0, 1), residency(), delta(1, 2)):
        feed.offer(event)
        await asyncio.sleep(0)
    feed.end()
    assert await reading == [delta(0, 1), residency(), delta(1, 2)]


async def test_deltas_that_wait_are_joined_only_with_their_neighbours() -> None:
    feed = Feed()
    for event in (delta(0, 1), delta(1, 3), delta(0, 1, "other"), delta(3, 4), residency(), delta(4, 5)):
        feed.offer(event)
    feed.end()
    assert await read(feed) == [delta(0, 3), delta(0, 1, "other"), delta(3, 4), residency(), delta(4, 5)]


async def test_waiting_deltas_are_joined_with_their_logprobs_or_not_at_all() -> None:
    feed, likely = Feed(), TokenLogprob(7, "x", (120,), -0.5)
    given = [replace(delta(at, at + 1), logprobs=(likely,)) for at in range(2)]
    for event in (*given, delta(2, 3)):
        feed.offer(event)
    feed.end()
    assert await read(feed) == [replace(delta(0, 2), logprobs=(likely, likely)), delta(2, 3)]


async def test_of_progress_only_the_newest_waits() -> None:
    feed = Feed()
    for processed in (1, 2, 3):
        feed.offer(RunProgress(thread="t", run="r", cached=0, processed=processed, total=3))
    feed.end()
    assert await read(feed) == [RunProgress(thread="t", run="r", cached=0, processed=3, total=3)]


async def test_what_was_told_before_the_end_is_read_before_its_error() -> None:
    feed = Feed()
    feed.offer(residency())
    feed.end(ConnectionClosed(4001, "back soon"))
    feed.offer(residency())
    assert await anext(feed) == residency()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            await anext(feed)


async def test_a_reader_that_falls_too_far_behind_loses_its_feed() -> None:
    feed = Feed(waiting=2)
    for _ in range(3):
        feed.offer(residency())
    with pytest.raises(FellBehind, match="2 events"):
        await anext(feed)
