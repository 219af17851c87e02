from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    with pytest.raises(NoToken):
        sampler.draw(logits)
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
        {"temperature": 1.0, "mirostat": 1},
        {"temperature": 1.0, "mirostat": 2},
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
