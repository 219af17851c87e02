from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.worker.sequence import Sequence


def holding(*tokens: int, in_kv: int | None = None) -> Sequence:
    sequence = Sequence(0)
    sequence.tokens = list(tokens)
    sequence.in_kv = len(tokens) if in_kv is None else in_kv
    return sequence


@given(st.lists(st.integers(0, 1), max_size=20), st.lists(st.integers(0, 1), max_size=20), st.integers(0, 25))
def test_common_counts_equal_tokens_from_the_beginning(one: list[int], two: list[int], limit: int) -> None:
    naive = 0
    for mine, theirs in zip(one, two[:limit], strict=False):
        if mine != theirs:
            break
        naive += 1
    assert holding(*one).common(tuple(two), limit) == naive


def test_a_token_that_is_not_in_kv_is_never_common() -> None:
    assert holding(1, 2, 3, in_kv=2).common((1, 2, 3), 3) == 2


def test_the_last_sampled_token_is_left_to_be_decoded() -> None:
    assert holding(1, 2, 3, in_kv=2).left == 1


def test_swapping_exchanges_everything_but_the_ids() -> None:
    one, two = Sequence(1), Sequence(2)
    one.thread, one.tokens, one.in_kv = "t", [5], 1
    one.swap(two)
    assert one.thread is None
    assert (one.id, one.tokens, one.in_kv) == (1, [], 0)
    assert two.thread == "t"
    assert (two.id, two.tokens, two.in_kv) == (2, [5], 1)


def test_a_cleared_sequence_is_nobodys() -> None:
    sequence = holding(1, 2)
    sequence.thread = sequence.tenant = "x"
    sequence.clear()
    assert sequence.thread is None
    assert sequence.tenant is None
    assert (sequence.tokens, sequence.in_kv) == ([], 0)


def test_what_is_coming_counts_tokens_that_are_not_in_kv_yet() -> None:
    sequence = holding(1, 2, 3, 4, in_kv=2)
    assert (sequence.common((1, 2, 3, 9), 4), sequence.coming((1, 2, 3, 9), 4)) == (2, 3)
    assert sequence.coming((1, 2, 3, 4), 3) == 3
