"""How long to wait, and whether to come back at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.backoff import Backoff, may_return
from livethread.errors import CloseCode


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_a_part_of_what_doubles_up_to_the_longest(tries: int, part: float) -> None:
    seconds = Backoff(random=lambda: part).seconds(tries)
    assert seconds == part * (0.25 * 2**tries if tries < 7 else 30.0)


def test_without_a_limit_it_never_gives_up() -> None:
    assert not Backoff().ends(1_000_000)
    assert [Backoff(tries=2).ends(tries) for tries in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("code", [1001, 1006, 1012, 1013, 4000, 4499])
def test_closes_that_heal(code: int) -> None:
    assert may_return(code)


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4500, 4999, 5000])
def test_closes_that_do_not(code: int) -> None:
    assert not may_return(code)


@pytest.mark.parametrize("code", [code for code in CloseCode if code >= 4000])
def test_the_protocols_own_closes_mean_what_they_say(code: CloseCode) -> None:
    assert may_return(code) is code.may_return
