from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.boundaries import Boundaries


def test_only_what_was_told_is_a_boundary() -> None:
    boundaries = Boundaries()
    boundaries.add(2, 7)
    boundaries.add(5, 20)
    assert [boundaries.characters(tokens) for tokens in range(7)] == [0, None, 7, None, None, 20, None]


def test_a_run_that_goes_on_begins_where_it_was() -> None:
    boundaries = Boundaries(8, 30)
    assert [boundaries.characters(tokens) for tokens in (0, 7, 8, 9)] == [None, None, 30, None]


def test_nobody_vouches_for_a_token_with_two_texts() -> None:
    boundaries = Boundaries()
    boundaries.add(2, 7)
    boundaries.add(2, 9)
    assert boundaries.characters(2) is None
    boundaries.add(3, 9)
    assert boundaries.characters(3) == 9


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_a_position_that_is_vouched_for_stands_for_one_text(deltas: list[tuple[int, int]]) -> None:
    boundaries, told = Boundaries(), [(0, 0)]
    for tokens, characters in deltas:
        told.append((told[-1][0] + tokens, told[-1][1] + characters))
        boundaries.add(*told[-1])
    for tokens in range(told[-1][0] + 2):
        lengths = [characters for at, characters in told if at == tokens]
        assert boundaries.characters(tokens) == (lengths[0] if len(lengths) == 1 else None)
