from __future__ import annotations

import asyncio
import logging

import pytest

from livethread_server.background import begin

log = logging.getLogger(__name__)


async def fail() -> None:
    raise ValueError("broken")


async def test_work_that_fails_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait([begin(fail(), log, "it went wrong")])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.getMessage() == "it went wrong"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_work_that_ends_or_is_cancelled_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    done = begin(asyncio.sleep(0), log, "it went wrong")
    cancelled = begin(asyncio.sleep(60), log, "it went wrong")
    await done
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await asyncio.sleep(0)
    assert not caplog.records
