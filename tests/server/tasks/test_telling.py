from __future__ import annotations

from msgspec import UNSET

from livethread.model import TokenLogprob
from livethread_server.tasks.said import Said
from livethread_server.tasks.telling import LOGPROBS_AT_ONCE, deltas


def test_text_is_one_event() -> None:
    (delta,) = deltas("t", Said(1, 5, 500, "text", tuple(range(495))))
    assert (delta.task, delta.choice, delta.start, delta.to, delta.text, delta.logprobs) == (
        "t",
        1,
        5,
        500,
        "text",
        UNSET,
    )


def test_text_that_comes_before_its_tokens_is_one_too() -> None:
    (delta,) = deltas("t", Said(0, 5, 5, "text", ()))
    assert (delta.start, delta.to, delta.text) == (5, 5, "text")


def test_many_logprobs_come_in_parts_that_join() -> None:
    tokens = tuple(range(150))
    logprobs = tuple(TokenLogprob(token, "", (), -1.0) for token in tokens)
    parts = list(deltas("t", Said(0, 10, 160, "text", tokens, logprobs)))
    assert [(part.start, part.to) for part in parts] == [(10, 74), (74, 138), (138, 160)]
    assert [part.text for part in parts] == ["text", "", ""]
    joined = tuple(one for part in parts if part.logprobs is not UNSET for one in part.logprobs)
    assert joined == logprobs
    assert LOGPROBS_AT_ONCE == 64
