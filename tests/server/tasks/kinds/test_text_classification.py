from __future__ import annotations

import math

import pytest

from livethread.errors import CommandError
from livethread.model import Principal
from livethread_server.vocabulary import Vocabulary
from tests.house import House
from tests.server.tasks.conftest import Do

ALICE = Principal("alice", "Alice")


async def test_labels_come_with_their_probability_the_likeliest_first(
    house: House, do: Do, vocabulary: Vocabulary
) -> None:
    result = await do("text-classification", content="A lovely day.", labels=["positive", "negative"])
    submits = list(house.engine.submitted.values())
    assert vocabulary.eos is not None
    answers = {
        label: (*vocabulary.tokenize(label, special=False), vocabulary.eos) for label in ("positive", "negative")
    }
    assert [submit.forced for submit in submits] == list(answers.values())
    assert {one.label: one.tokens + 1 for one in result.labels} == {label: len(answers[label]) for label in answers}
    assert len({submit.tokens for submit in submits}) == len({submit.thread for submit in submits}) == 1
    logprobs = {label: -sum(tokens) / 1000 for label, tokens in answers.items()}
    assert {one.label: one.logprob for one in result.labels} == pytest.approx(logprobs)
    assert sum(one.score for one in result.labels) == pytest.approx(1)
    first, second = result.labels
    assert first.score / second.score == pytest.approx(math.exp(first.logprob - second.logprob))
    assert first.score > second.score
    assert result.usage.completion_tokens == sum(map(len, answers.values()))
    prompt = vocabulary.text(submits[0].tokens, special=True)
    assert "A lovely day." in prompt
    assert "positive, negative" in prompt


async def test_a_prompt_of_ones_own_has_places_for_content_and_labels(
    house: House, do: Do, vocabulary: Vocabulary
) -> None:
    await do("text-classification", content="{labels}", labels=["a", "b"], prompt="{content} {x} is {labels}?")
    (submit, *_) = house.engine.submitted.values()
    assert "user\n{labels} {x} is a, b?<|im_end|>" in vocabulary.text(submit.tokens, special=True)


async def test_long_labels_may_be_weighed_by_their_length(do: Do) -> None:
    labels = ["yes", "a label of a good many more words"]
    plain = await do("text-classification", content="A", labels=labels)
    fair = await do("text-classification", content="A", labels=labels, normalise=True)
    shares = [one.logprob / (one.tokens + 1) for one in fair.labels]
    assert fair.labels[0].score / fair.labels[1].score == pytest.approx(math.exp(shares[0] - shares[1]))
    assert {one.label: one.logprob for one in plain.labels} == {one.label: one.logprob for one in fair.labels}


async def test_a_label_is_there_once(house: House) -> None:
    asked = {"content": "A", "labels": ["a", "b", "a"]}
    with pytest.raises(CommandError) as caught:
        await house.tasks.create(ALICE, "text-classification", asked)
    assert caught.value.details["field"] == "labels"
    assert house.engine.submitted == {}


async def test_a_label_that_begins_another_counts_with_its_end(do: Do, vocabulary: Vocabulary) -> None:
    labels = ["spam", "spam-like"]
    short, long = (tuple(vocabulary.tokenize(label, special=False)) for label in labels)
    assert long[: len(short)] == short
    result = await do("text-classification", content="A", labels=labels)
    logprobs = {one.label: one.logprob for one in result.labels}
    assert vocabulary.eos is not None
    assert logprobs["spam"] == pytest.approx(-sum((*short, vocabulary.eos)) / 1000)
    assert logprobs["spam-like"] == pytest.approx(-sum((*long, vocabulary.eos)) / 1000)
