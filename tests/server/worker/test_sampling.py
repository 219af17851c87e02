from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livethread.errors import ErrorCode
from livethread.model import Sampling
from livethread_server.worker.llama import Candidates, Logits, Model, quiet
from livethread_server.worker.sampling import NoToken, Sampler, Unusable


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Model]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    yield model
    model.close()


@pytest.fixture(scope="module")
def candidates(model: Model) -> Candidates:
    return Candidates(model.vocabulary)


@pytest.fixture
def logits(model: Model) -> Logits:
    rows: Logits = np.random.default_rng(1).normal(0, 2, model.vocabulary).astype(np.float32)
    return rows


def drawn(
    model: Model, candidates: Candidates, logits: Logits, count: int = 8, prompt: Any = (), **fields: Any
) -> list[int]:
    sampler = Sampler(model, candidates, Sampling(**fields), prompt, 256)
    tokens = [sampler.draw(logits) for _ in range(count)]
    sampler.close()
    return tokens


def test_temperature_zero_takes_the_most_likely(model: Model, candidates: Candidates, logits: Logits) -> None:
    assert drawn(model, candidates, logits, temperature=0) == [int(logits.argmax())] * 8


def test_the_same_seed_draws_the_same(model: Model, candidates: Candidates, logits: Logits) -> None:
    one = drawn(model, candidates, logits, temperature=1.0, seed=5)
    assert one == drawn(model, candidates, logits, temperature=1.0, seed=5)
    assert one != drawn(model, candidates, logits, temperature=1.0, seed=6)


def test_top_k_bounds_the_choice(model: Model, candidates: Candidates, logits: Logits) -> None:
    best = set(np.argsort(logits)[-3:].tolist())
    assert set(drawn(model, candidates, logits, 30, temperature=2.0, top_k=3, seed=1)) <= best


def four(model: Model, *chances: float) -> Logits:
    """Logits by which tokens 0, 1, … have these chances, and all others none to speak of."""
    row = np.full(model.vocabulary, -60.0, np.float32)
    row[: len(chances)] = np.log(chances)
    return row


def test_typical_leaves_out_what_is_too_likely_to_tell_anything(model: Model, candidates: Candidates) -> None:
    # The entropy is 1.03 nats, the surprises are 0.69, 1.20 and 1.61: the second token is the most typical one.
    row = four(model, 0.5, 0.3, 0.2)
    fields = {"temperature": 1.0, "seed": 1}
    assert set(drawn(model, candidates, row, 40, **fields)) == {0, 1, 2}
    assert set(drawn(model, candidates, row, 40, typical_p=0.2, **fields)) == {1}
    assert set(drawn(model, candidates, row, 40, typical_p=0.5, **fields)) == {0, 1}
    assert set(drawn(model, candidates, row, 40, typical_p=1.0, **fields)) == {0, 1, 2}


def test_xtc_drops_all_but_the_least_likely_of_those_above_its_threshold(model: Model, candidates: Candidates) -> None:
    row = four(model, 0.5, 0.3, 0.15, 0.05)
    fields = {"temperature": 1.0, "seed": 1, "xtc_threshold": 0.1}
    assert set(drawn(model, candidates, row, 60, xtc_probability=1.0, **fields)) == {2, 3}
    assert set(drawn(model, candidates, row, 60, xtc_probability=0.0, **fields)) == {0, 1, 2, 3}
    assert 0 in drawn(model, candidates, row, 60, xtc_probability=1.0, **(fields | {"xtc_threshold": 0.6}))


def test_xtc_drops_only_as_often_as_it_is_told_to(model: Model, candidates: Candidates) -> None:
    row = four(model, 0.8, 0.2)
    tokens = drawn(model, candidates, row, 200, temperature=1.0, seed=3, xtc_probability=0.5, xtc_threshold=0.1)
    assert 0.25 < tokens.count(0) / 200 < 0.55  # half of 0.8


def test_dry_makes_a_phrase_that_would_be_repeated_unlikely(model: Model, candidates: Candidates) -> None:
    row = four(model, 0.7, 0.3)
    phrase = (5, 6, 7, 0, 5, 6, 7)
    fields = {"prompt": phrase, "temperature": 0.0, "dry_multiplier": 2.0}
    assert drawn(model, candidates, row, 1, **fields) == [1]
    assert drawn(model, candidates, row, 1, **(fields | {"dry_multiplier": 0.0})) == [0]
    assert drawn(model, candidates, row, 1, dry_allowed_length=4, **fields) == [0]
    assert drawn(model, candidates, row, 1, dry_penalty_last_n=3, **fields) == [0]
    assert drawn(model, candidates, row, 1, dry_penalty_last_n=0, **fields) == [0]


def test_dry_stops_looking_back_at_a_line_feed(model: Model, candidates: Candidates) -> None:
    row = four(model, 0.7, 0.3)
    feed = next(token for token in range(model.vocabulary) if model.piece(token) == b"\n")
    phrase = (5, 6, feed, 0, 5, 6, feed)
    assert drawn(model, candidates, row, 1, phrase, temperature=0.0, dry_multiplier=2.0) == [0]


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_draws_at_about_the_surprise_that_was_asked_for(
    model: Model, candidates: Candidates, version: int
) -> None:
    ranks = np.arange(1, model.vocabulary + 1)
    row = np.log(1 / ranks).astype(np.float32)  # Zipf's law, which mirostat 1 assumes
    chances = 1 / ranks / (1 / ranks).sum()
    surprise = []
    for tau in (1.0, 3.0, 8.0):
        fields = {"mirostat": version, "mirostat_tau": tau, "mirostat_eta": 0.3, "temperature": 1.0, "seed": 2}
        tokens = drawn(model, candidates, row, 100, **fields)
        surprise.append(float(-np.log2(chances[tokens[40:]]).mean()))
    assert surprise == sorted(surprise)
    # Its own measure is of what it left to draw from; far down the list that is nearly everything.
    assert surprise[-1] == pytest.approx(8.0, abs=1.0)


@pytest.mark.parametrize("filters", [{"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}, {"typical_p": 0.0}])
def test_mirostat_replaces_the_filters(
    model: Model, candidates: Candidates, logits: Logits, filters: dict[str, float]
) -> None:
    fields = {"temperature": 1.0, "mirostat": 2, "mirostat_tau": 9.0, "seed": 2}
    alone = drawn(model, candidates, logits, 8, **fields)
    assert drawn(model, candidates, logits, 8, **fields, **filters) == alone
    assert len(set(alone)) > 1


def up_to(most: float, least: float = 0) -> st.SearchStrategy[float]:
    return st.sampled_from([least, most]) | st.floats(least, most)


ANY_SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    "temperature": up_to(100),
    "top_k": st.sampled_from([0, 1, 40, (1 << 31) - 1]),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "xtc_probability", "xtc_threshold", "mirostat_eta"), up_to(1)),
    "dry_multiplier": up_to(100),
    "dry_base": up_to(100, 1),
    "dry_allowed_length": st.sampled_from([0, 1, 2, 1 << 20]),
    **dict.fromkeys(("dry_penalty_last_n", "repeat_last_n"), st.integers(0, 256)),
    "repeat_penalty": up_to(100, 1e-6),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), up_to(100, -100)),
    "mirostat": st.integers(0, 2),
    "mirostat_tau": up_to(100),
    "seed": st.integers(0, (1 << 32) - 2),
}


def test_the_sampling_that_is_tried_has_every_field_that_reaches_the_chain() -> None:
    others = {"max_tokens", "stop", "logit_bias", "grammar", "json_schema", "logprobs"}
    assert set(ANY_SAMPLING) | others == set(Sampling.__struct_fields__)


@settings(max_examples=60, deadline=None)
@given(fields=st.fixed_dictionaries({}, optional=ANY_SAMPLING), spread=st.sampled_from([0.0, 2.0, 1e4]))
def test_whatever_the_wire_lets_through_a_token_is_drawn_or_the_run_ends(
    model: Model, candidates: Candidates, fields: dict[str, Any], spread: float
) -> None:
    logits = np.random.default_rng(1).normal(0, 1, model.vocabulary).astype(np.float32) * np.float32(spread)
    try:
        tokens = drawn(model, candidates, logits, 3, (7, 8) * 20, **fields)
    except NoToken:
        return
    assert all(0 <= token < model.vocabulary for token in tokens)


@pytest.mark.parametrize(
    "fields",
    [
        {"dry_multiplier": 100.0, "dry_base": 100.0, "dry_allowed_length": 0},
        {"mirostat": 1, "mirostat_tau": 0.0, "mirostat_eta": 1.0},
        {"mirostat": 2, "mirostat_tau": 100.0, "mirostat_eta": 1.0},
        {"xtc_probability": 1.0, "xtc_threshold": 0.0},
        {"typical_p": 0.0},
        {"mirostat": 1, "grammar": 'root ::= "yes"+'},
        {"mirostat": 2, "grammar": 'root ::= "yes"+'},
    ],
)
def test_the_ends_of_the_ranges_still_draw(
    model: Model, candidates: Candidates, logits: Logits, fields: dict[str, Any]
) -> None:
    prompt = (7, 8) * 20
    tokens = drawn(model, candidates, logits, 12, prompt, temperature=1.0, seed=1, **fields)
    assert all(0 <= token < model.vocabulary for token in tokens)


@pytest.mark.parametrize(
    "fields",
    [
        {"top_p": 0.9, "min_p": 0.05, "typical_p": 0.9},
        {"xtc_probability": 0.5, "xtc_threshold": 0.1},
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2},
        {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2},
        {"repeat_penalty": 1.3, "repeat_last_n": 1 << 20, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    ],
)
def test_every_stage_draws_from_the_vocabulary(
    model: Model, candidates: Candidates, logits: Logits, fields: dict[str, Any]
) -> None:
    tokens = drawn(model, candidates, logits, prompt=(1, 2, 3), temperature=0.8, seed=3, **fields)
    assert all(0 <= token < model.vocabulary for token in tokens)


def test_a_temperature_too_small_to_divide_by_is_greedy(model: Model, candidates: Candidates, logits: Logits) -> None:
    assert drawn(model, candidates, logits, temperature=1e-38) == [int(logits.argmax())] * 8


def test_a_logit_bias_decides(model: Model, candidates: Candidates, logits: Logits) -> None:
    assert drawn(model, candidates, logits, temperature=0, logit_bias={123: 1000.0}) == [123] * 8


def test_what_the_prompt_holds_is_penalised(model: Model, candidates: Candidates, logits: Logits) -> None:
    best = int(logits.argmax())
    tokens = drawn(model, candidates, logits, 1, prompt=(best,), temperature=0, presence_penalty=100.0)
    assert tokens != [best]


def test_a_grammar_is_followed_to_its_end(model: Model, candidates: Candidates, logits: Logits) -> None:
    sampler = Sampler(model, candidates, Sampling(temperature=0, grammar='root ::= "yes"'), (), 256)
    text = b""
    while not model.is_end(token := sampler.draw(logits)):
        text += model.piece(token)
    sampler.close()
    assert text == b"yes"


def test_a_grammar_that_nothing_fits_is_an_error_and_no_crash(
    model: Model, candidates: Candidates, logits: Logits
) -> None:
    sampler = Sampler(model, candidates, Sampling(temperature=0, grammar='root ::= "\\x00"'), (), 256)
    with pytest.raises(NoToken) as refused:
        sampler.draw(logits)
    assert refused.value.code is ErrorCode.BAD_REQUEST
    sampler.close()


def test_a_grammar_that_cannot_be_read_is_refused(model: Model, candidates: Candidates) -> None:
    quiet()
    with pytest.raises(Unusable, match="cannot read the grammar"):
        Sampler(model, candidates, Sampling(grammar="root ::= ("), (), 256)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(
    model: Model, candidates: Candidates, logits: Logits, number: float
) -> None:
    logits[9] = number
    with pytest.raises(NoToken):
        drawn(model, candidates, logits, temperature=0.8)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": float("nan")},
        {"top_p": float("inf")},
        {"logit_bias": {1 << 30: 1.0}},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {1: float("nan")}},
    ],
)
def test_numbers_that_must_not_reach_c_are_refused(
    model: Model, candidates: Candidates, fields: dict[str, Any]
) -> None:
    with pytest.raises(Unusable):
        Sampler(model, candidates, Sampling(**fields), (), 256)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 1.0, "top_p": 0.3},
        {"temperature": 1.0, "repeat_penalty": 1.5, "dry_multiplier": 1.0, "dry_allowed_length": 1},
        {"temperature": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.02},
        {"temperature": 1.0, "typical_p": 0.4},
        {"temperature": 1.0, "mirostat": 1},
        {"temperature": 1.0, "mirostat": 2},
        {"temperature": 1.0, "mirostat": 2, "grammar": "root ::= [a-f]+"},
        {"temperature": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.02, "grammar": "root ::= [a-f]+"},
        {"temperature": 1.0, "grammar": "root ::= [a-f]+"},
    ],
)
def test_a_sampler_that_is_led_through_known_tokens_goes_on_as_the_one_that_drew_them(
    model: Model, candidates: Candidates, fields: dict[str, Any]
) -> None:
    chance = np.random.default_rng(2)
    rows = [chance.normal(0, 2, model.vocabulary).astype(np.float32) for _ in range(10)]
    first, again = (Sampler(model, candidates, Sampling(seed=4, **fields), (1, 2), 256) for _ in range(2))
    whole = [first.draw(row) for row in rows]
    assert [again.draw(row, known) for row, known in zip(rows, whole[:6], strict=False)] == whole[:6]
    assert [again.draw(row) for row in rows[6:]] == whole[6:]
    first.close()
    again.close()


def test_a_known_token_is_taken_whatever_would_be_drawn(model: Model, candidates: Candidates, logits: Logits) -> None:
    sampler = Sampler(model, candidates, Sampling(temperature=0, presence_penalty=100.0, repeat_last_n=1), (), 256)
    best = int(logits.argmax())
    assert sampler.draw(logits, 77) == 77
    assert sampler.draw(logits) == best
    assert sampler.draw(logits) != best
    sampler.close()


def test_a_known_token_that_the_grammar_refuses_is_an_error_and_no_crash(
    model: Model, candidates: Candidates, logits: Logits
) -> None:
    sampler = Sampler(model, candidates, Sampling(temperature=0, grammar='root ::= "yes"'), (), 256)
    wrong = next(token for token in range(300, 400) if model.piece(token) not in (b"y", b"ye", b"yes"))
    with pytest.raises(NoToken, match="does not fit its grammar"):
        sampler.draw(logits, wrong)
    sampler.close()
