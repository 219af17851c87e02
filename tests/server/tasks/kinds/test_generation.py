from __future__ import annotations

from typing import Any

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal, Sampling
from livethread.tasks import GenerationInput, ResponseFormat
from livethread_server.tasks.bench import NEVER
from livethread_server.tasks.kinds.generation import ANY_OBJECT, sampling_of
from livethread_server.vocabulary import Vocabulary
from tests.house import House
from tests.server.tasks.conftest import Do

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
HI = ({"role": "user", "content": "Hi."},)


@pytest.mark.parametrize(
    ("asked", "sampling"),
    [
        ({}, {}),
        ({"n_predict": 5, "n_probs": 3}, {"max_tokens": 5, "logprobs": 3}),
        ({"n_predict": -1}, {}),
        ({"response_format": ResponseFormat("text"), "grammar": "g"}, {"grammar": "g"}),
        ({"response_format": ResponseFormat("json_object")}, {"json_schema": ANY_OBJECT}),
        ({"response_format": ResponseFormat("json_object", schema=SCHEMA)}, {"json_schema": SCHEMA}),
        ({"response_format": ResponseFormat("json_schema", schema=SCHEMA)}, {"json_schema": SCHEMA}),
        (
            {"response_format": ResponseFormat("json_schema", json_schema={"name": "x", "schema": SCHEMA})},
            {"json_schema": SCHEMA},
        ),
        ({"response_format": ResponseFormat("grammar", grammar="g")}, {"grammar": "g"}),
    ],
)
def test_llama_cpps_names_and_formats_are_sampling(asked: dict[str, Any], sampling: dict[str, Any]) -> None:
    assert sampling_of(GenerationInput(temperature=0.5, **asked)) == Sampling(temperature=0.5, **sampling)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"n_predict": 5, "max_tokens": 5}, "n_predict"),
        ({"n_predict": 0}, "n_predict"),
        ({"n_probs": 1, "logprobs": 1}, "n_probs"),
        ({"grammar": "g", "json_schema": {}}, "grammar"),
        ({"response_format": ResponseFormat("json_object"), "grammar": "g"}, "response_format"),
        ({"response_format": ResponseFormat("json_schema")}, "response_format.schema"),
        ({"response_format": ResponseFormat("json_schema", json_schema={"schema": 1})}, "response_format.schema"),
        ({"response_format": ResponseFormat("grammar")}, "response_format.grammar"),
    ],
)
def test_names_of_one_thing_exclude_each_other(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(CommandError) as caught:
        sampling_of(GenerationInput(**asked))
    assert (caught.value.code, caught.value.details["field"]) == (ErrorCode.BAD_REQUEST, field)


async def test_what_was_used_is_told_and_a_schema_reaches_the_engine_as_a_grammar(house: House, do: Do) -> None:
    result = await do("chat-completion", messages=HI, response_format={"type": "json_object"}, max_tokens=7, top_k=3)
    assert (result.sampling.max_tokens, result.sampling.top_k, result.sampling.temperature) == (7, 3, 0.8)
    (submit,) = house.engine.submitted.values()
    assert submit.sampling.grammar is not None
    assert "root ::=" in submit.sampling.grammar
    assert result.sampling.json_schema == ANY_OBJECT


async def test_tokens_and_logprobs_come_where_they_are_asked_for(do: Do) -> None:
    (plain,) = (await do("chat-completion", messages=HI)).choices
    assert (plain.tokens, plain.logprobs) == (None, None)
    (full,) = (await do("chat-completion", messages=HI, return_tokens=True, n_probs=1)).choices
    assert full.tokens == (1, 2, 3)
    assert [(one.token, one.logprob, one.top[0].token) for one in full.logprobs] == [
        (1, -1.0, 7),
        (2, -1.0, 7),
        (3, -1.0, 7),
    ]


async def test_ends_are_never_drawn_where_they_are_ignored(house: House, do: Do, vocabulary: Vocabulary) -> None:
    bias = {"5": 1.0}
    result = await do("text-completion", prompt="Once", ignore_eos=True, logit_bias=bias)
    (submit,) = house.engine.submitted.values()
    assert submit.sampling.logit_bias == {5: 1.0} | dict.fromkeys(vocabulary.ends, NEVER)
    assert vocabulary.eos in vocabulary.ends
    assert result.sampling.logit_bias == {5: 1.0}


async def test_more_choices_than_the_engine_can_ever_have_are_refused_for_good(house: House) -> None:
    house.engine.most_of_a_task = 3
    asked: list[tuple[str, dict[str, Any]]] = [
        ("chat-completion", {"messages": HI, "n": 4}),
        ("text-classification", {"content": "A", "labels": ["a", "b", "c", "d"]}),
    ]
    for kind, what in asked:
        with pytest.raises(CommandError) as caught:
            await house.tasks.create(Principal("alice", "Alice"), kind, what)
        assert (caught.value.code, caught.value.retryable) == (ErrorCode.TOO_LARGE, False)
    assert house.engine.submitted == {}
