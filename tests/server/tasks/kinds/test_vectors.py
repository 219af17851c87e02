from __future__ import annotations

import math

import pytest

from livethread_server.tasks.kinds.vectors import fitted

ROW = (3.0, -4.0, 12.0)


@pytest.mark.parametrize(
    ("normalise", "dimensions", "expected"),
    [
        (-1, None, ROW),
        (0, None, (3 * 2730.0, -4 * 2730.0, 32760.0)),
        (1, None, (3 / 19, -4 / 19, 12 / 19)),
        (2, None, (3 / 13, -4 / 13, 12 / 13)),
        (2, 2, (0.6, -0.8)),
        (3, 2, (3 / 91 ** (1 / 3), -4 / 91 ** (1 / 3))),
    ],
)
def test_a_vector_is_cut_and_normalised_as_llama_cpp_does(
    normalise: int, dimensions: int | None, expected: tuple[float, ...]
) -> None:
    assert fitted(ROW, normalise, dimensions) == pytest.approx(expected)


@pytest.mark.parametrize("normalise", [-1, 0, 1, 2, 1024])
def test_nothing_overflows_and_zeros_stay_zeros(normalise: int) -> None:
    assert fitted((0.0, 0.0), normalise, None) == (0.0, 0.0)
    assert all(math.isfinite(one) for one in fitted((1e30, -1e-30), normalise, None))
