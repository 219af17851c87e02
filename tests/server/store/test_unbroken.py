from __future__ import annotations

import asyncio

import pytest

from livethread_server.store.unbroken import Unbroken


class Work:
    """Work that ends when it is let go, in a result or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self.begun = self.done = False
        self._error = error

    async def __call__(self) -> str:
        self.begun = True
        await self.go.wait()
        self.done = True
        if self._error is not None:
            raise self._error
        return "done"


async def test_what_the_work_returns_or_raises_arrives() -> None:
    unbroken, fine, failing = Unbroken(), Work(), Work(ValueError("no"))
    fine.go.set()
    failing.go.set()
    assert await unbroken.do(fine()) == "done"
    with pytest.raises(ValueError, match="no"):
        await unbroken.do(failing())


@pytest.mark.parametrize("error", [None, ValueError("unheard")])
async def test_a_cancellation_arrives_when_the_work_has_ended(error: Exception | None) -> None:
    unbroken, work = Unbroken(), Work(error)
    call = asyncio.create_task(unbroken.do(work()))
    while not work.begun:  # noqa: ASYNC110 - the loop is short
        await asyncio.sleep(0)
    call.cancel()
    for _ in range(9):
        await asyncio.sleep(0)
    assert not call.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert work.done


async def test_the_end_of_all_work_can_be_waited_for() -> None:
    unbroken, works = Unbroken(), (Work(), Work(ValueError("unheard")))
    calls = [asyncio.create_task(unbroken.do(work())) for work in works]
    await asyncio.sleep(0)
    end = asyncio.create_task(unbroken.ended())
    for work in works:
        await asyncio.sleep(0)
        assert not end.done()
        work.go.set()
    await end
    await unbroken.ended()
    assert all(work.done for work in works)
    await asyncio.gather(*calls, return_exceptions=True)
