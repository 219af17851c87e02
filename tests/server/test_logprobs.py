from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread.model import Alternative
from livethread_server.engine.wire import Delta, Logprob, Output, merged
from livethread_server.logprobs import portions, token_logprob, token_logprobs
from livethread_server.vocabulary import Vocabulary


def test_a_token_is_told_with_its_text_and_bytes(vocabulary: Vocabulary) -> None:
    token, other = vocabulary.tokenize(" hello", special=False)[0], vocabulary.tokenize("a", special=False)[0]
    told = token_logprob(vocabulary, token, Logprob(-0.5, ((token, -0.5), (other, -2.0))))
    assert (told.token, told.text, bytes(told.bytes), told.logprob) == (token, " hello", b" hello", -0.5)
    assert told.top == (Alternative(token, " hello", tuple(b" hello"), -0.5), Alternative(other, "a", (97,), -2.0))


def test_half_a_character_has_its_bytes_and_a_replacement_character(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokenize("\U0001f9ea", special=False)
    assert len(tokens) > 1
    told = token_logprobs(vocabulary, Delta(tuple(tokens), "", tuple(Logprob(-1.0) for _ in tokens)))
    assert "\ufffd" in told[0].text
    assert bytes(byte for one in told for byte in one.bytes).decode() == "\U0001f9ea"


def test_a_control_token_has_a_text_only_as_an_alternative(vocabulary: Vocabulary) -> None:
    assert vocabulary.eos is not None
    told = token_logprob(vocabulary, vocabulary.eos, Logprob(-0.1, ((vocabulary.eos, -0.1),)))
    assert (told.text, told.bytes) == ("", ())
    assert told.top[0].text == vocabulary.eos_text


@given(st.integers(0, 40), st.integers(1, 9))
def test_portions_say_what_the_whole_delta_said(count: int, most: int) -> None:
    whole = Delta(tuple(range(count)), "text", tuple(Logprob(-float(token)) for token in range(count)))
    parts = list(portions(whole, most))
    assert all(len(part.tokens) == len(part.logprobs) <= most for part in parts)
    again = Output("r", delta=parts[0])
    for part in parts[1:]:
        again = merged(again, Output("r", delta=part))
    assert again.delta == whole
    assert parts[0].text == "text"


def test_a_delta_without_logprobs_stays_whole() -> None:
    whole = Delta(tuple(range(1000)), "text")
    assert list(portions(whole)) == [whole]
