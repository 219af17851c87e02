from __future__ import annotations

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.sampling import MODEL_SAMPLING, REPLACED, check, resolve


def test_each_field_comes_from_the_first_layer_that_gives_it() -> None:
    told = resolve(Sampling(top_k=1), None, Sampling(top_k=2, top_p=0.5), MODEL_SAMPLING)
    assert (told.top_k, told.top_p, told.temperature) == (1, 0.5, MODEL_SAMPLING.temperature)


def test_zero_is_a_value_like_any_other() -> None:
    assert resolve(Sampling(temperature=0, top_k=0), MODEL_SAMPLING).temperature == 0


def test_a_seed_is_drawn_where_none_is_given() -> None:
    assert resolve(Sampling(seed=0)).seed == 0
    drawn = resolve(Sampling()).seed
    assert drawn is not None
    assert 0 <= drawn <= 2**32 - 2


def test_a_schema_replaces_the_threads_grammar() -> None:
    told = resolve(Sampling(json_schema={}), Sampling(grammar="root ::= 'a'"))
    assert (told.json_schema, told.grammar) == ({}, None)


def test_mirostat_replaces_the_filters_and_leaves_the_penalties() -> None:
    told = resolve(Sampling(mirostat=2, top_k=5, repeat_penalty=1.2), Sampling(xtc_probability=0.5), MODEL_SAMPLING)
    assert {name: getattr(told, name) for name in REPLACED} == dict.fromkeys(REPLACED)
    assert (told.mirostat, told.mirostat_tau, told.mirostat_eta) == (2, 5.0, 0.1)
    assert (told.temperature, told.repeat_penalty) == (0.8, 1.2)


def test_a_thread_with_mirostat_can_be_asked_without() -> None:
    told = resolve(Sampling(mirostat=0), Sampling(mirostat=1, top_k=3), MODEL_SAMPLING)
    assert (told.mirostat, told.top_k) == (0, 3)


def test_what_the_model_says_is_all_off_but_its_filters_and_temperature() -> None:
    quiet = {"typical_p": 1, "xtc_probability": 0, "dry_multiplier": 0, "mirostat": 0, "repeat_penalty": 1}
    assert {name: getattr(MODEL_SAMPLING, name) for name in quiet} == quiet


@pytest.mark.parametrize(
    "sampling", [Sampling(repeat_last_n=11), Sampling(dry_penalty_last_n=11), Sampling(logit_bias={10: 1.0})]
)
def test_what_the_model_cannot_hold_is_a_bad_request(sampling: Sampling) -> None:
    with pytest.raises(CommandError) as caught:
        check(sampling, vocabulary=10, context=10)
    assert caught.value.code is ErrorCode.BAD_REQUEST


def test_the_models_own_sampling_passes() -> None:
    check(MODEL_SAMPLING, vocabulary=10, context=100)
