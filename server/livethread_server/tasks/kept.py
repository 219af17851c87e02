"""The finished tasks that can still be asked for: bounded in time, number and bytes.

It must never know what a task is about.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.live_task import LiveTask


class Kept:
    """Finished tasks, the one that ended first in front. ``forget`` is called with each one that goes."""

    def __init__(self, bounds: TaskBounds, forget: Callable[[LiveTask], None]) -> None:
        self._bounds = bounds
        self._forget = forget
        self._tasks: deque[LiveTask] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: LiveTask) -> None:
        """Keep a task that has just ended; the oldest go where there is no room."""
        self._tasks.append(task)
        self.bytes += task.bytes
        while self._tasks and (
            len(self._tasks) > self._bounds.tasks_kept or self.bytes > self._bounds.task_result_bytes
        ):
            self._drop()
        self._wait()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        task = self._tasks.popleft()
        self.bytes -= task.bytes
        self._forget(task)

    def _wait(self) -> None:
        if self._timer is None and self._tasks:
            seconds = max(0.0, self._left(self._tasks[0]))
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        while self._tasks and self._left(self._tasks[0]) <= 0:
            self._drop()
        self._wait()

    def _left(self, task: LiveTask) -> float:
        return task.finished_at + self._bounds.task_results - time.monotonic()
