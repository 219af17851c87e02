from __future__ import annotations

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread_server.vocabulary import Infill, Vocabulary
from tests.house import House
from tests.server.tasks.conftest import Do

ALICE = Principal("alice", "Alice")


async def test_a_prompt_is_text_that_may_name_special_tokens_or_token_ids(
    house: House, do: Do, vocabulary: Vocabulary
) -> None:
    result = await do("text-completion", prompt="<|im_start|>Once upon")
    await do("text-completion", prompt=[1, 2, 3])
    text, ids = (submit.tokens for submit in house.engine.submitted.values())
    assert text == tuple(vocabulary.tokenize("<|im_start|>Once upon", special=True))
    assert ids == (1, 2, 3)
    assert result.choices[0].content == "Good day."


@pytest.mark.parametrize(
    ("prompt", "code", "field"),
    [
        ("", ErrorCode.BAD_REQUEST, "prompt"),
        ([1 << 30], ErrorCode.BAD_REQUEST, "prompt"),
        ([1] * 2048, ErrorCode.CONTEXT_OVERFLOW, None),
    ],
)
async def test_prompts_that_cannot_be_are_refused(house: House, prompt: object, code: ErrorCode, field: str) -> None:
    with pytest.raises(CommandError) as caught:
        await house.tasks.create(ALICE, "text-completion", {"prompt": prompt})
    assert (caught.value.code, caught.value.details.get("field")) == (code, field)


async def test_it_fills_in_between_where_the_model_has_tokens_for_that(
    house: House, do: Do, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "infill", Infill(101, 102, 103))
    before, behind = (tuple(vocabulary.tokenize(text, special=True)) for text in ("def add(a, b):", "\nprint(add)"))
    await do("text-completion", prompt="def add(a, b):", input_suffix="\nprint(add)")
    await do("text-completion", prompt=[7, 8], input_prefix="def add(a, b):")
    first, second = (submit.tokens for submit in house.engine.submitted.values())
    assert first == (101, *before, 102, *behind, 103)
    assert second == (101, *before, 7, 8, 102, 103)


def test_the_default_model_has_no_tokens_for_that(vocabulary: Vocabulary) -> None:
    assert vocabulary.infill is None
