"""Tells when a process that owes an answer has been silent for too long.

Silence is counted in ticks of this process's own event loop, so that a machine that slept, or a loop that was
held up, makes nobody else look dead. This module must never know what is asked or answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICKS = 8
"""How often the silence is looked at while it lasts as long as is allowed."""


class Watchdog:
    """Counts the silence of one process while ``owes`` says that it should speak."""

    def __init__(self, seconds: float, owes: Callable[[], bool]) -> None:
        self.seconds = seconds
        self._owes = owes
        self._ticks = 0

    def heard(self) -> None:
        """The process said something."""
        self._ticks = 0

    async def silence(self) -> None:
        """Return once the process has owed a word, and said nothing, for ``seconds`` or an eighth more."""
        self._ticks = 0
        while self._ticks <= TICKS:
            await asyncio.sleep(self.seconds / TICKS)
            self._ticks = self._ticks + 1 if self._owes() else 0
