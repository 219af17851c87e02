from __future__ import annotations

import numpy as np
import pytest

from livethread_server.engine.wire import Pooling
from livethread_server.worker.pooling import Pool

ROWS = np.array([[1, 2], [3, 5], [8, 2]], np.float32)


@pytest.mark.parametrize(
    ("pooling", "vectors"),
    [("mean", [[4, 3]]), ("cls", [[1, 2]]), ("last", [[8, 2]]), ("none", ROWS.tolist())],
)
@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2)])
def test_a_text_has_the_same_vector_however_it_comes(
    pooling: Pooling, vectors: list[list[float]], cuts: tuple[int, ...]
) -> None:
    pool = Pool(pooling)
    for rows in np.split(ROWS, cuts):
        lent = rows.copy()
        pool.add(lent)
        lent[:] = np.nan
    assert pool.vectors().dtype == np.float32
    assert pool.vectors().tolist() == vectors
