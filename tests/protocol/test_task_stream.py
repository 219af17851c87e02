from __future__ import annotations

import pytest
from msgspec import UNSET

from livethread.errors import ProtocolError
from livethread.messages import TaskDelta
from livethread.model import TokenLogprob
from livethread.task_stream import _Text


def delta(start: int, to: int, text: str, *, logprobs: bool = False) -> TaskDelta:
    """Text of some tokens; each is as likely as its place says."""
    told = tuple(TokenLogprob(number, "?", (), -float(number)) for number in range(start, to))
    return TaskDelta(task="k", choice=0, start=start, to=to, text=text, logprobs=told if logprobs else UNSET)


def test_tokens_without_text_are_given_with_their_logprobs() -> None:
    text = _Text()
    deltas = [delta(0, 64, "all of it", logprobs=True), delta(64, 100, "", logprobs=True)]
    assert [text.hear(each) for each in deltas] == deltas


def test_text_before_its_token_is_given_and_nothing_is_not() -> None:
    text = _Text()
    early = delta(0, 0, "half")
    assert text.hear(early) == early
    assert text.hear(delta(0, 0, "")) is None


def test_of_what_is_told_again_only_the_rest_is_given() -> None:
    text = _Text()
    text.hear(delta(0, 3, "abc", logprobs=True))
    text.begin_again()
    assert text.hear(delta(0, 2, "abcd", logprobs=True)) == delta(2, 2, "d")
    assert text.hear(delta(2, 4, "", logprobs=True)) == delta(3, 4, "", logprobs=True)
    assert text.hear(delta(4, 5, "e", logprobs=True)) == delta(4, 5, "e", logprobs=True)


def test_tokens_that_had_no_text_yet_when_it_was_cut_come_once() -> None:
    text = _Text()
    text.hear(delta(0, 3, "abc", logprobs=True))
    text.begin_again()
    assert text.hear(delta(0, 2, "abc", logprobs=True)) is None
    assert text.hear(delta(2, 5, "", logprobs=True)) == delta(3, 5, "", logprobs=True)


def test_another_text_and_a_gap_are_noticed() -> None:
    text = _Text()
    text.hear(delta(0, 1, "abc"))
    with pytest.raises(ProtocolError, match="begins at token 2, but 1 were told"):
        text.hear(delta(2, 3, "d"))
    text.begin_again()
    with pytest.raises(ValueError, match="abx"):
        text.hear(delta(0, 1, "abx"))
