"""The contexts of tasks in the archive: the last ones, and of those that went on in a later one only that.

A chat that resends its history is a new task each time; nothing says that it was there before but its tokens. This
module must never know sequences, runs, files or what rows mean.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from livethread_server.worker.chains import Chains
from livethread_server.worker.chunk import Head
from livethread_server.worker.holdings import Holdings


class Passing:
    """Tasks by the time their context was kept; ``most`` of them, the oldest is forgotten."""

    def __init__(self, holdings: Holdings, chains: Chains, most: int) -> None:
        self._holdings = holdings
        self._chains = chains
        self._most = most
        self._tasks: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    def keep(self, task: str, heads: Sequence[Head]) -> None:
        """A task's context consists of these chunks now."""
        for other in [each for each in self._tasks if each != task and self._is_beginning(each, heads)]:
            self._forget(other)
        self._tasks[task] = None
        self._tasks.move_to_end(task)
        while len(self._tasks) > self._most:
            self._forget(next(iter(self._tasks)))

    def forget(self, task: str) -> None:
        """Count it no more."""
        self._tasks.pop(task, None)

    def _is_beginning(self, task: str, heads: Sequence[Head]) -> bool:
        """Whether all that a task holds is the beginning of these chunks' tokens."""
        holding = self._holdings.get(task)
        if holding is None:
            return True
        *whole, last = holding.names
        if len(holding.names) > len(heads) or whole != [head.name for head in heads[: len(whole)]]:
            return False
        tail, head = self._chains.get(last), heads[len(whole)]
        if tail is not None and tail.head.whole:
            return False  # a longer one cannot be cut to it
        return tail is None or (tail.head.scope == head.scope and head.tokens.startswith(tail.head.tokens))

    def _forget(self, task: str) -> None:
        del self._tasks[task]
        self._holdings.forget(task)
