"""How long to wait before the next try to come back, and after which closes there is one.

This module must never know sockets, or what is said on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import random as chance

from msgspec import Struct

RETURNING = frozenset({1001, 1006, 1012, 1013})
"""Closes of RFC 6455 (7.4.1, and its registry) after which a client comes back: the peer goes away, the connection
broke off, the service restarts, try again later."""
STEADY_SECONDS = 5.0
"""How long a session must have lasted for the next wait to begin with the shortest again."""


class Backoff(Struct, frozen=True):
    """Full jitter: before try number n, from 0, wait a random part of ``base`` · 2ⁿ seconds, ``longest`` at most.

    After ``tries`` tries in a row that failed the client gives up; None is never. ``random``, ``sleep`` and
    ``clock`` are for tests.
    """

    base: float = 0.25
    longest: float = 30.0
    tries: int | None = None
    random: Callable[[], float] = chance
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic

    def seconds(self, tries: int) -> float:
        """How long to wait after ``tries`` tries in a row that failed."""
        return self.random() * min(self.longest, self.base * 2.0 ** min(tries, 64))

    def ends(self, tries: int) -> bool:
        """Whether to give up after ``tries`` tries in a row that failed."""
        return self.tries is not None and tries >= self.tries


def may_return(code: int) -> bool:
    """Whether a client should connect again after a close with this code."""
    return code in RETURNING or 4000 <= code < 4500
