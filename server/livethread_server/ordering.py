"""The commands of one session that are under way: in order on each thread, bounded in all.

Commands on one thread are carried out in the order they came, other threads do not wait; one about no thread waits for
all before it. It must never know what a command does, or how it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from livethread.messages import (
    Cancel,
    Command,
    TaskCancel,
    TaskCreate,
    TaskGet,
    TaskList,
    ThreadCommand,
    ThreadCreate,
    ThreadFork,
)
from livethread_server.bounds import Bounds

BESIDE = (Cancel, TaskCreate, TaskGet, TaskList, TaskCancel)
"""Commands that wait for nothing, and that nothing waits for. They begin in the order that they came in, which is
enough for tasks: one is there as soon as its creation has begun."""

CarryOut = Callable[[Command], Awaitable[None]]


class Ordering:
    """Starts commands, each behind those that it must come after. They are carried out to their end even if the session
    ends."""

    __slots__ = ("_bounds", "_bytes", "_last", "_since", "_under_way")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._last: dict[str, asyncio.Task[None]] = {}
        self._since: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._bytes = 0

    def full(self, size: int) -> bool:
        """Whether a command that came in ``size`` bytes is one too many."""
        bounds = self._bounds
        return len(self._under_way) >= bounds.commands_in_flight or self._bytes + size > bounds.bytes_in_flight

    def start(self, command: Command, size: int, carry_out: CarryOut) -> None:
        """Carry a command out behind the last one on each of its threads; one without threads behind all."""
        threads = _threads_of(command)
        before = {self._last[thread] for thread in threads if thread in self._last}
        if not threads and not isinstance(command, BESIDE):
            # The last such command has waited for all before it, so what came since is enough.
            before, self._since = self._since, set()
        task = asyncio.create_task(_behind(before, carry_out, command))
        self._bytes += size
        task.add_done_callback(lambda _: self._took(size))
        for started in (self._under_way,) if isinstance(command, BESIDE) else (self._under_way, self._since):
            started.add(task)
            task.add_done_callback(started.discard)
        for thread in threads:
            self._last[thread] = task
            task.add_done_callback(partial(self._forget, thread))

    def _took(self, size: int) -> None:
        self._bytes -= size

    def _forget(self, thread: str, done: asyncio.Task[None]) -> None:
        if self._last.get(thread) is done:
            del self._last[thread]


async def _behind(before: set[asyncio.Task[None]], carry_out: CarryOut, command: Command) -> None:
    if before:
        await asyncio.wait(before)
    await carry_out(command)


def _threads_of(command: Command) -> set[str]:
    """The threads on which the command must keep its place."""
    threads = set()
    if isinstance(command, ThreadCommand):
        threads.add(command.thread)
    if isinstance(command, ThreadCreate) and command.thread is not None:
        threads.add(command.thread)
    if isinstance(command, ThreadFork) and command.new_thread is not None:
        threads.add(command.new_thread)
    return threads
