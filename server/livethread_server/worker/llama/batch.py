"""The rows that one ``llama_decode`` takes, in arrays that are used again and again.

This module must never know contexts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from livethread_server.worker.llama.array import pointer_to


class Batch:
    """Reused arrays behind ``llama_batch``; each row belongs to one sequence."""

    def __init__(self, rows: int) -> None:
        self.token = np.zeros(rows, np.int32)
        self.position = np.zeros(rows, np.int32)
        self.sequence = np.zeros(rows, np.int32)
        self.logits = np.zeros(rows, np.int8)
        self._ones = np.ones(rows, np.int32)
        at = self.sequence.ctypes.data
        kind = ctypes.POINTER(ctypes.c_int32)
        self._sequences = (kind * rows)(*(ctypes.cast(at + 4 * i, kind) for i in range(rows)))
        self._batch = llama.llama_batch(
            token=pointer_to(self.token, ctypes.c_int32),
            pos=pointer_to(self.position, ctypes.c_int32),
            n_seq_id=pointer_to(self._ones, ctypes.c_int32),
            seq_id=self._sequences,
            logits=pointer_to(self.logits, ctypes.c_int8),
        )

    def put(self, row: int, sequence: int, position: int, token: int) -> None:
        """One token in one row."""
        self.sequence[row], self.position[row], self.token[row] = sequence, position, token

    def fill(self, row: int, sequence: int, position: int, tokens: Sequence[int]) -> None:
        """The tokens of a sequence from a position on, in as many rows."""
        end = row + len(tokens)
        self.token[row:end] = tokens
        self.position[row:end] = np.arange(position, position + len(tokens))
        self.sequence[row:end] = sequence

    def of(self, count: int) -> Any:
        """The first rows as ``llama_decode`` takes them."""
        self._batch.n_tokens = count
        return self._batch
