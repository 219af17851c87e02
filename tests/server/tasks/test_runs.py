from __future__ import annotations

import asyncio

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine.wire import SIDE, Finished, Submit
from livethread_server.tasks.runs import TaskRuns, failure, position_of, together
from livethread_server.tasks.workshop import Outputs
from tests.house import FakeEngine


class FullEngine(FakeEngine):
    """An engine that takes two runs."""

    def submit(self, submit: Submit) -> Outputs:  # type: ignore[override]
        if len(self.submitted) == 2:
            raise CommandError(ErrorCode.QUEUE_FULL, "The queue is full. Wait.")
        return super().submit(submit)


def test_they_begin_together_and_end_together() -> None:
    engine = FullEngine(room=1)
    runs = TaskRuns(engine, "alice")
    outputs = [runs.submit((1, 2), Sampling(), forced) for forced in ((), (3,))]
    first, second = engine.submitted.values()
    assert first.thread == second.thread
    assert first.thread.startswith(SIDE)
    assert (first.run != second.run, first.tenant, first.side, second.forced) == (True, "alice", True, (3,))
    assert position_of(outputs)() == 0
    with pytest.raises(CommandError):
        runs.submit((1, 2), Sampling())
    runs.end()
    runs.end()
    assert sorted(engine.cancelled) == sorted((first.run, second.run))


def test_two_tasks_of_one_id_have_runs_of_their_own() -> None:
    engine = FakeEngine()
    for tenant in ("alice", "bob"):
        TaskRuns(engine, tenant).submit((1,), Sampling())
    assert len(engine.submitted) == 2


async def test_the_first_failure_of_several_ends_the_others() -> None:
    ended = asyncio.Event()

    async def fails() -> int:
        raise CommandError(ErrorCode.INTERNAL, "It broke.")

    async def waits() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 1

    with pytest.raises(CommandError, match="It broke"):
        await together([waits(), fails()])
    assert ended.is_set()
    assert await together([asyncio.sleep(0, 1), asyncio.sleep(0, 2)]) == [1, 2]


def test_a_run_that_failed_says_why() -> None:
    assert failure(Finished("stop", 1, None, 0.0)) is None
    known = failure(Finished("error", 1, None, 0.0, "It is over.", ErrorCode.MODEL_UNAVAILABLE))
    unknown = failure(Finished("error", 1, None, 0.0))
    assert [str(known), unknown is not None] == ["model_unavailable: It is over.", True]
