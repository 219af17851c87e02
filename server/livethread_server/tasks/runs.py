"""The runs that one task has in the engine: they begin together, and none outlives the task.

It must never know what is generated, or for whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine.wire import SIDE, Finished, Submit
from livethread_server.stamps import new_id
from livethread_server.tasks.workshop import Outputs, TaskEngine

T = TypeVar("T")


class TaskRuns:
    """Runs of one task; ``tenant`` is whose KV they may use. They share what they begin with."""

    def __init__(self, engine: TaskEngine, tenant: str) -> None:
        self._engine = engine
        self._tenant = tenant
        # Ids of tasks are their principals' own; the engine needs one that is nobody else's.
        self._name = new_id("w")
        self._begun = 0
        self._open: set[str] = set()

    def submit(self, prompt: tuple[int, ...], sampling: Sampling, forced: tuple[int, ...] = ()) -> Outputs:
        """Begin one. `CommandError` where the engine takes none; then those that were begun go on."""
        run = f"{self._name}_{self._begun}"
        submit = Submit(
            run=run,
            thread=SIDE + self._name,
            tenant=self._tenant,
            tokens=prompt,
            sampling=sampling,
            side=True,
            forced=forced,
        )
        outputs = self._engine.submit(submit)
        self._begun += 1
        self._open.add(run)
        return outputs

    def end(self) -> None:
        """End all that have not ended."""
        for run in self._open:
            self._engine.cancel(run)
        self._open.clear()


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of it at once; the first failure ends the others, and is raised."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def position_of(runs: Sequence[Outputs]) -> Callable[[], int]:
    """Says how many are ahead of the first of them in the engine's queue."""
    return lambda: min(outputs.position for outputs in runs)


def failure(finished: Finished) -> CommandError | None:
    """Why a run failed; None where it did not."""
    if finished.reason != "error":
        return None
    return CommandError(finished.code or ErrorCode.INTERNAL, finished.error or "The engine failed. Ask again.")
