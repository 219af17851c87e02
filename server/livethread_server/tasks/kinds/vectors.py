"""Vectors made to fit: cut to their first dimensions, and normalised as llama.cpp does.

It must never know what a vector stands for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LARGEST = 32760.0
"""What llama.cpp scales the largest component to, where vectors shall fit into 16-bit integers."""


def fitted(row: npt.ArrayLike, normalise: int, dimensions: int | None) -> tuple[float, ...]:
    """The first ``dimensions`` of a vector, normalised: -1 not at all, 0 so that the largest is `LARGEST`, 1 taxicab, 2
    Euclidean, more: that p-norm (llama.cpp: common_embd_normalize). A vector of zeros stays one.
    """
    vector = np.asarray(row, np.float64)[:dimensions]
    size = _size(vector, normalise)
    return tuple((vector / size if size > 0 else vector * 0.0).tolist())


def _size(vector: npt.NDArray[np.float64], normalise: int) -> float:
    if normalise < 0:
        return 1.0
    largest = float(np.abs(vector).max(initial=0.0))
    if normalise == 0 or largest == 0.0:
        return largest / LARGEST
    # Scaled by the largest component first, since high powers leave the range of floats.
    powers: float = float((np.abs(vector / largest) ** normalise).sum())
    return float(largest * powers ** (1.0 / normalise))
