"""The finished tasks that can still be asked for: bounded in time, number and bytes.

Where there is no room, tasks go of those principals who have more than an equal share. So nobody's results are pushed
out by what somebody else does. It must never know what a task is about.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.live_task import LiveTask


class _Shelf:
    """Those of one principal, the one that ended first in front, with the bytes of each."""

    def __init__(self) -> None:
        self.tasks: OrderedDict[LiveTask, int] = OrderedDict()
        self.bytes = 0

    @property
    def oldest(self) -> LiveTask:
        """The one that ended first."""
        return next(iter(self.tasks))

    def add(self, task: LiveTask) -> int:
        """One more; its bytes."""
        self.tasks[task] = size = task.bytes
        self.bytes += size
        return size

    def take(self, task: LiveTask) -> int:
        """One less; its bytes."""
        size = self.tasks.pop(task)
        self.bytes -= size
        return size


class Kept:
    """Finished tasks. ``forget`` is called with each one that goes."""

    def __init__(self, bounds: TaskBounds, forget: Callable[[LiveTask], None]) -> None:
        self._bounds = bounds
        self._forget = forget
        self._tasks: OrderedDict[LiveTask, None] = OrderedDict()
        self._shelves: dict[str, _Shelf] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: LiveTask) -> None:
        """Keep a task that has just ended; where there is no room, those go that ended first of who has too much."""
        self._tasks[task] = None
        self.bytes += self._shelves.setdefault(task.owner, _Shelf()).add(task)
        while len(self._tasks) > self._bounds.tasks_kept:
            share = self._bounds.tasks_kept / len(self._shelves)
            self._drop_of([shelf for shelf in self._shelves.values() if len(shelf.tasks) > share])
        while self.bytes > self._bounds.task_result_bytes:
            share = self._bounds.task_result_bytes / len(self._shelves)
            self._drop_of([shelf for shelf in self._shelves.values() if shelf.bytes > share])
        self._wait()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_of(self, shelves: list[_Shelf]) -> None:
        """Let one go of those who have more than their share; as all of them have more than there is, some have."""
        self._drop(min((shelf.oldest for shelf in shelves), key=lambda task: task.finished_at))

    def _drop(self, task: LiveTask) -> None:
        del self._tasks[task]
        shelf = self._shelves[task.owner]
        self.bytes -= shelf.take(task)
        if not shelf.tasks:
            del self._shelves[task.owner]
        self._forget(task)

    def _wait(self) -> None:
        if self._timer is None and self._tasks:
            seconds = max(0.0, self._left(next(iter(self._tasks))))
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        while self._tasks and self._left(oldest := next(iter(self._tasks))) <= 0:
            self._drop(oldest)
        self._wait()

    def _left(self, task: LiveTask) -> float:
        return task.finished_at + self._bounds.task_results - time.monotonic()
