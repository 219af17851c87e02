from __future__ import annotations

import tracemalloc

import pytest

from livethread.model import Alternative, TokenLogprob
from livethread_server.tasks.said import TOKEN_BYTES, Said, Speech


def test_each_listener_hears_everything_once_from_its_own_place() -> None:
    speech = Speech()
    early = speech.listen()
    speech.add(0, "a", (1,), ())
    assert [*early.take()] == [Said(0, 0, 1, "a", (1,))]
    speech.add(0, "b", (), ())
    speech.add(0, "c", (2, 3), ())
    late = speech.listen()
    assert [*early.take()] == [Said(0, 1, 3, "bc", (2, 3))]
    assert [*late.take()] == [Said(0, 0, 3, "abc", (1, 2, 3))]
    assert [*early.take()] == [*late.take()] == []


def test_logprobs_go_with_their_tokens() -> None:
    speech = Speech()
    listener = speech.listen()
    one, two = (TokenLogprob(token, "", (), -1.0) for token in (1, 2))
    speech.add(3, "a", (1,), (one,))
    speech.add(3, "b", (2,), (two,))
    assert [*listener.take()] == [Said(3, 0, 2, "ab", (1, 2), (one, two))]


def test_what_comes_while_a_listener_takes_is_not_lost() -> None:
    speech = Speech()
    listener = speech.listen()
    speech.add(0, "a", (1,), ())
    taking = listener.take()
    next(taking)
    speech.add(1, "z", (9,), ())
    assert [*taking] == []
    assert listener.something.is_set()
    assert [*listener.take()] == [Said(1, 0, 1, "z", (9,))]


def test_who_has_left_is_not_woken() -> None:
    speech = Speech()
    listener = speech.listen()
    listener.leave()
    speech.add(0, "a", (1,), ())
    assert not listener.something.is_set()
    assert speech.bytes == 1 + TOKEN_BYTES


@pytest.mark.parametrize("alternatives", [0, 5, 20])
def test_it_knows_about_how_much_memory_logprobs_take(alternatives: int) -> None:
    count = 200
    tracemalloc.start()
    try:
        logprobs = [_logprob(number, alternatives) for number in range(count)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    speech = Speech()
    speech.add(0, "", (), logprobs)
    assert 0.8 < speech.bytes / taken < 1.6


def _logprob(number: int, alternatives: int) -> TokenLogprob:
    top = tuple(
        Alternative(1000 + other, f"word {number} {other}", tuple(b" other"), -1.0 - number * other)
        for other in range(alternatives)
    )
    return TokenLogprob(1000 + number, f"word {number}", tuple(b" token"), -1.0 - number, top)
