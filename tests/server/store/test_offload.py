"""Lanes: work on OS threads of their own, settled when the call has ended."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from livethread_server.store.offload import Offload


async def test_work_returns_raises_and_runs_in_order() -> None:
    offload = Offload("test", 1)
    order: list[int] = []
    await asyncio.gather(*(offload.do(partial(order.append, n)) for n in range(20)))
    assert order == list(range(20))
    with pytest.raises(ZeroDivisionError):
        await offload.do(lambda: 1 // 0)
    offload.close()


async def test_work_that_is_cancelled_while_it_waits_is_never_done() -> None:
    offload, gate, done = Offload("test", 1), threading.Event(), list[str]()
    first = asyncio.create_task(offload.do(gate.wait))
    second = asyncio.create_task(offload.do(lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    gate.set()
    assert await first
    await offload.do(lambda: done.append("third"))
    assert done == ["third"]
    offload.close()


async def test_work_that_is_cancelled_while_it_is_done_ends_before_its_call() -> None:
    offload, begun, gate, done = Offload("test", 1), threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        gate.wait()
        done.append("work")

    call = asyncio.create_task(offload.do(work))
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
    offload.close()


async def test_closing_waits_for_the_work_and_leaves_no_os_thread() -> None:
    offload = Offload("closing", 2)
    await offload.do(lambda: None)
    offload.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("closing")]
