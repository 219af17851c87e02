from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from livethread.messages import RunDelta
from livethread.model import Alternative, Sampling
from livethread_server.deltas import joined
from livethread_server.engine.wire import Delta, Logprob, Output, Submit, merged
from livethread_server.logprobs import portions, token_logprob, token_logprobs
from livethread_server.vocabulary import Vocabulary
from livethread_server.worker.run import Run


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


class Unneeded:
    """The sampler of a run whose tokens are given."""

    def draw(self, logits: object, known: int | None = None) -> int:
        return 0

    def close(self) -> None:
        pass


def cut_up(items: list[Any], data: st.DataObject) -> Iterator[list[Any]]:
    """A list in pieces that hypothesis chooses."""
    while items:
        count = data.draw(st.integers(1, len(items)))
        yield items[:count]
        items = items[count:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="ab <e\u00e9\u20ac\U0001f9ea", max_size=20),
    st.sampled_from([(), ("<e",), ("b", "a b")]),
    st.data(),
)
def test_however_text_is_held_and_joined_each_token_comes_with_its_own(
    vocabulary: Vocabulary, text: str, stops: tuple[str, ...], data: st.DataObject
) -> None:
    tokens = vocabulary.tokenize(text, special=False)
    sampling = Sampling(stop=stops, logprobs=0)
    submit = Submit(run="r", thread="t", tenant="x", tokens=(1,), sampling=sampling)
    run = Run(submit, Unneeded(), reused=0, arrived_at=0.0, at=0.0)
    outputs = []
    for place, token in enumerate(tokens):
        run.took(token, vocabulary.piece(token), 0.0, Logprob(-float(place)))
        outputs.append(run.output(0.0))
        if run.reason is not None:
            break
    run.end("length")
    outputs.append(run.output(0.0))
    heard = [reduce(merged, some).delta for some in cut_up([one for one in outputs if one], data)]
    events: list[RunDelta] = []
    for part in (part for delta in heard if delta for part in portions(delta, 3)):
        start = events[-1].to if events else 0
        told = token_logprobs(vocabulary, part)
        event = RunDelta(thread="t", run="r", start=start, to=start + len(part.tokens), text=part.text, logprobs=told)
        events.append(event)
    for some in cut_up(events, data):
        event = joined(some)
        assert event.logprobs is not UNSET
        assert [(one.token, one.logprob) for one in event.logprobs] == [
            (tokens[place], -float(place)) for place in range(event.start, event.to)
        ]
    if not any(stop in text for stop in stops):
        assert "".join(event.text for event in events) == text
        assert bytes(byte for event in events for one in event.logprobs or () for byte in one.bytes).decode() == text
