"""The vectors of a text's tokens become the vector of the text.

This module must never know contexts or who asked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livethread_server.engine.wire import Pooling

Rows = NDArray[np.float32]


class Pool:
    """Takes the rows of one text as they come, (tokens, dimensions); not for ``rank``, which is no vector's."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._kept: list[Rows] = []
        self._sum: NDArray[np.float64] | None = None
        self._count = 0

    def add(self, rows: Rows) -> None:
        """The next rows; they are not needed afterwards."""
        first = self._count == 0
        self._count += len(rows)
        match self._pooling:
            case "mean":
                fresh = rows.sum(axis=0, dtype=np.float64)
                self._sum = fresh if self._sum is None else self._sum + fresh
            case "cls" if first:
                self._kept = [rows[:1].copy()]
            case "last":
                self._kept = [rows[-1:].copy()]
            case "none":
                self._kept.append(rows.copy())

    def vectors(self) -> Rows:
        """The text's vector as one row; for ``none`` those of its tokens."""
        if self._sum is not None:
            return (self._sum / self._count).astype(np.float32)[None]
        return np.concatenate(self._kept)
