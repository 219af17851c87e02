"""Lanes: work on OS threads of their own, settled when the call has ended."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from livethread_server.store.offload import Offload


async def test_work_returns_raises_and_runs_in_order() -> None:
    lane = Offload("test", 1)
    order: list[int] = []
    await asyncio.gather(*(lane.do(partial(order.append, n)) for n in range(20)))
    assert order == list(range(20))
    with pytest.raises(ZeroDivisionError):
        await lane.do(lambda: 1 // 0)
    lane.close()


async def test_work_that_is_cancelled_while_it_waits_is_never_done() -> None:
    lane, gate, done = Offload("test", 1), threading.Event(), list[str]()
    first = asyncio.create_task(lane.do(gate.wait))
    second = asyncio.create_task(lane.do(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    gate.set()
    assert await first
    await lane.do(lambda: done.append("third"))
    assert done == ["third"]
    lane.close()


async def test_work_that_is_cancelled_while_it_is_done_ends_before_its_call() -> None:
    lane, begun, gate, done = Offload("test", 1), threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        gate.wait()
        done.append("work")

    call = asyncio.create_task(lane.do(work))
    await asyncio.sleep(0)
    begun.wait()
    call.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    early = call.done()
    gate.set()
    await asyncio.wait([call])
    assert call.cancelled()
    assert not early
    assert done == ["work"]
    lane.close()


async def test_closing_waits_for_the_work_and_leaves_no_os_thread() -> None:
    lane = Offload("closing", 2)
    await lane.do(lambda: None)
    lane.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("closing")]
