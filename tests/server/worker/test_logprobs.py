from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from livethread_server.worker.logprobs import LEAST, logprob

ROWS = st.lists(st.integers(-40, 40), min_size=1, max_size=60)


def softmax(logits: list[int]) -> NDArray[np.float64]:
    powers = np.exp(np.array(logits, np.float64) - max(logits))
    whole: NDArray[np.float64] = powers / powers.sum()
    return whole


@given(ROWS, st.integers(0, 20), st.data())
def test_they_are_the_logarithms_of_the_softmax_and_the_top_is_in_order(
    row: list[int], top: int, data: st.DataObject
) -> None:
    token = data.draw(st.integers(0, len(row) - 1))
    told = logprob(np.array(row, np.float32), token, top)
    whole = softmax(row)
    assert np.exp(told.logprob) == pytest.approx(whole[token], rel=1e-5)
    assert [one for one, _ in told.top] == sorted(range(len(row)), key=lambda one: (-row[one], one))[:top]
    assert [np.exp(one) for _, one in told.top] == [pytest.approx(whole[one], rel=1e-5) for one, _ in told.top]


def test_zero_is_only_the_tokens_own() -> None:
    assert logprob(np.zeros(4, np.float32), 3, 0).top == ()


def test_a_token_that_the_model_rules_out_has_a_finite_one() -> None:
    told = logprob(np.array([0, -np.inf], np.float32), 1, 2)
    assert (told.logprob, told.top) == (LEAST, ((0, 0.0), (1, LEAST)))


def test_logits_are_left_as_they_are() -> None:
    logits = np.arange(9, dtype=np.float32)
    logprob(logits, 3, 4)
    assert logits.tolist() == list(range(9))
