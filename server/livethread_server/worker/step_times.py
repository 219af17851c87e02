"""How long the engine's steps took, as a histogram that only grows.

This module must never know what was done in the steps.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.4, 0.8, 1.6, 5.0)
"""Upper bounds of the buckets in seconds; one more is without a bound."""


class StepTimes:
    """Steps that had something to do, by the time they took."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        """A step took so long."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def told(self) -> dict[str, Any]:
        """``buckets``: pairs of an upper bound in seconds (as text, ``+Inf`` the last) and how many steps took no
        longer; ``seconds``: all of them together. The shape of a Prometheus histogram.
        """
        buckets: list[tuple[str, int]] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return {"buckets": buckets, "seconds": self._seconds}
