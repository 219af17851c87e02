"""A token bucket: how fast something may happen, and how often at once after a pause.

It must never know what happens, nor read a clock: it is told the time.
"""

from __future__ import annotations


class Bucket:
    """Fills with ``rate`` tokens a second up to ``burst``; full at ``now`` (seconds of any steady clock)."""

    __slots__ = ("_at", "_burst", "_rate", "level")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._at = now
        self.level = burst

    def take(self, count: int, now: float) -> float:
        """Take tokens whether there are enough or not; what is left, below zero where there were too few."""
        self.level = min(self._burst, self.level + (now - self._at) * self._rate) - count
        self._at = now
        return self.level
