"""One llama.cpp sequence id: whose tokens lie under it and how many of them are in KV.

This module must never know llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from typing import Any

from livethread_server.engine.wire import is_side
from livethread_server.worker.run import Run


class Sequence:
    """A sequence id and what it holds for which thread.

    ``tokens`` are the thread's, the first ``in_kv`` of them are in KV: the last sampled one is not
    (FACTS A6); the first ``shared`` were declared shared. ``used`` orders sequences by their last use, which
    was at ``used_at``; ``run`` is who is using it now. ``saved`` is how many were in KV when it was last saved
    elsewhere, ``eager`` how many were put there without a run that asked for them. ``marks`` are states by
    length to which memory that cannot be cut may go back, while it is live.
    """

    def __init__(self, number: int) -> None:
        self.id = number
        self.thread: str | None = None
        self.tenant: str | None = None
        self.tokens: list[int] = []
        self.in_kv = 0
        self.shared = 0
        self.used = 0
        self.used_at = 0.0
        self.saved = 0
        self.eager = 0
        self.marks: dict[int, Any] = {}
        self.run: Run | None = None

    @property
    def held(self) -> bool:
        """Whether it is a thread's or a task's."""
        return self.run is not None or self.thread is not None

    @property
    def side(self) -> bool:
        """Whether it is a task's; a run whose thread is gone has it until it ends."""
        return self.run.submit.side if self.run is not None else self.thread is not None and is_side(self.thread)

    @property
    def left(self) -> int:
        """Tokens that are not in KV yet."""
        return len(self.tokens) - self.in_kv

    @property
    def idle(self) -> bool:
        """Whether no run uses it."""
        return self.run is None

    @property
    def going(self) -> bool:
        """Whether a run uses it that goes on."""
        return self.run is not None and self.run.reason is None

    @property
    def dirty(self) -> bool:
        """Whether it holds a thread's KV that was not saved as it is."""
        return self.thread is not None and self.in_kv > 0 and self.saved != self.in_kv

    def common(self, tokens: Tokens[int], limit: int) -> int:
        """How many of the first ``limit`` tokens are the first ones in KV here."""
        return self._alike(tokens, min(limit, self.in_kv))

    def coming(self, tokens: Tokens[int], limit: int) -> int:
        """As `common`, once all tokens here are in KV."""
        return self._alike(tokens, min(limit, len(self.tokens)))

    def _alike(self, tokens: Tokens[int], high: int) -> int:
        low = 0
        while low < high:
            middle = (low + high + 1) // 2
            same = list(tokens[low:middle]) == self.tokens[low:middle]
            low, high = (middle, high) if same else (low, middle - 1)
        return low

    def cut(self, length: int) -> None:
        """Keep the first ``length`` tokens, which are in KV."""
        del self.tokens[length:]
        self.in_kv = length
        self.marks = {at: mark for at, mark in self.marks.items() if at <= length}
        if self.saved > length:
            self.saved = 0

    def clear(self) -> None:
        """Nobody's, and empty."""
        self.thread = self.tenant = self.run = None
        self.shared = self.saved = self.eager = 0
        self.cut(0)

    def swap(self, other: Sequence) -> None:
        """Exchange everything but the ids, as the KV states were exchanged."""
        for name in vars(self):
            if name != "id":
                mine, theirs = getattr(self, name), getattr(other, name)
                setattr(self, name, theirs)
                setattr(other, name, mine)


def run_of(sequence: Sequence) -> Run:
    """The run that uses a sequence which is not idle."""
    assert sequence.run is not None
    return sequence.run
