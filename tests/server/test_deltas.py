from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from livethread.messages import RunDelta
from livethread.model import TokenLogprob
from livethread_server.deltas import joined, touch


def delta(start: int, to: int, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=to, text=f"{start}-{to} ")


def test_deltas_touch_where_one_goes_on_with_the_other() -> None:
    assert touch(delta(0, 2), delta(2, 3))
    assert not touch(delta(0, 2), delta(3, 4))
    assert not touch(delta(0, 2), delta(2, 3, "another"))


def test_joined_deltas_say_what_they_said_one_by_one() -> None:
    one = delta(4, 5)
    assert joined([one]) is one
    assert joined([delta(0, 2), delta(2, 3), delta(3, 9)]) == RunDelta(
        thread="t", run="r", start=0, to=9, text="0-2 2-3 3-9 "
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_joined_deltas_have_the_logprobs_of_all_their_tokens(counts: list[int]) -> None:
    ends = [sum(counts[:index]) for index in range(len(counts) + 1)]
    deltas = [replace(delta(*ends_of), logprobs=likely(*ends_of)) for ends_of in pairwise(ends)]
    assert joined(deltas).logprobs == likely(0, ends[-1])


def test_joined_deltas_of_which_one_lacks_logprobs_have_none() -> None:
    with_one = replace(delta(0, 1), logprobs=likely(0, 1))
    assert joined([with_one, delta(1, 2)]).logprobs is UNSET
    assert joined([delta(0, 1), delta(1, 2)]).logprobs is UNSET


def likely(start: int, to: int) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(token, str(token), (token,), -1.0) for token in range(start, to))
