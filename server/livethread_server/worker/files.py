"""OS threads that read and write, so that the loop never waits for a file.

What comes of a job is told in the loop's own OS thread, when the loop asks for it. Reading has OS threads of
its own, since somebody waits for it; writing has one, which keeps the order. This module must never know what
is read or written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

READERS = 2
"""OS threads that read: verifying what was read takes most of the time, and two CPUs share it (FACTS B3)."""

T = TypeVar("T")
Job = Callable[[], Callable[[], None]]

_log = logging.getLogger(__name__)


class Files:
    """``wake`` is called from another OS thread whenever something is to be collected."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._reads: SimpleQueue[Job | None] = SimpleQueue()
        self._writes: SimpleQueue[Job | None] = SimpleQueue()
        self._done: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open = 0
        queues = [self._reads] * READERS + [self._writes]
        self._threads = [threading.Thread(target=self._work, args=(queue,), daemon=True) for queue in queues]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether anything was begun and not collected yet."""
        return self._open > 0

    def read(self, call: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Do ``call`` beside other reading; ``then`` gets what it returned or raised, in `collect`."""
        self._begin(self._reads, call, then)

    def write(self, call: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Do ``call`` after all writing that was asked for before; as for `read`."""
        self._begin(self._writes, call, then)

    def _begin(
        self, queue: SimpleQueue[Job | None], call: Callable[[], T], then: Callable[[T | Exception], None]
    ) -> None:
        def job() -> Callable[[], None]:
            try:
                result: T | Exception = call()
            except Exception as error:
                result = error
            return lambda: then(result)

        self._open += 1
        queue.put(job)

    def collect(self) -> None:
        """Tell what has come of jobs."""
        try:
            while True:
                told = self._done.get_nowait()
                self._open -= 1
                told()
        except Empty:
            return

    def settle(self, seconds: float) -> bool:
        """Collect until nothing is open, or the time is over; whether nothing is open."""
        until = time.monotonic() + seconds
        while self._open and (left := until - time.monotonic()) > 0:
            try:
                told = self._done.get(timeout=left)
            except Empty:
                break
            self._open -= 1
            told()
        return self._open == 0

    def close(self) -> None:
        """End the OS threads once they are through with what is queued; they are not waited for."""
        for _ in range(READERS):
            self._reads.put(None)
        self._writes.put(None)

    def _work(self, queue: SimpleQueue[Job | None]) -> None:
        while job := queue.get():
            self._done.put(job())
            self._wake()
