"""Fixtures of the tests of tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from livethread.model import Principal
from livethread.tasks import Task
from tests.answering import answering
from tests.house import House

Do = Callable[..., Awaitable[Any]]


@pytest.fixture
async def do(house: House) -> AsyncIterator[Do]:
    """Carry a task out over an engine that answers; its result."""

    async def carry_out(kind: str, **asked: Any) -> Any:
        live = await house.tasks.create(Principal("alice", "Alice"), kind, asked)
        task: Task = await live.ended()
        assert task.state == "done", task
        return task.result

    async with answering(house.engine):
        yield carry_out
