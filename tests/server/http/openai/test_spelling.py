"""Texts where ids are meant, with the real model's vocabulary."""

from __future__ import annotations

from typing import Any

import pytest

from livethread.errors import CommandError
from livethread_server.http.openai.spelling import MOST_TEXTS, Spelling
from tests.house import House


@pytest.fixture
def spelling(house: House) -> Spelling:
    return Spelling(house.shop.texts)


async def ids(house: House, text: str) -> tuple[int, ...]:
    return await house.shop.texts.tokens(text, special=True, beginning=False)


async def test_texts_amid_ids_become_ids(house: House, spelling: Spelling) -> None:
    once = await ids(house, "Once upon<|im_end|>")
    told = await spelling.prompts(["Once upon", (7, "Once upon<|im_end|>", 8), (9,)], "prompt")
    assert told == ["Once upon", (7, *once, 8), (9,)]


@pytest.mark.parametrize("given", [{"15": -100, " the book": 2}, ((15, -100), (" the book", 2))])
async def test_a_bias_of_a_text_holds_for_each_of_its_tokens(house: House, spelling: Spelling, given: Any) -> None:
    assert await spelling.biases(given) == {15: -100} | dict.fromkeys(await ids(house, " the book"), 2)


@pytest.mark.parametrize("given", [None, {}, ()])
async def test_no_biases_were_not_given(spelling: Spelling, given: Any) -> None:
    assert await spelling.biases(given) is None


async def test_a_long_number_is_a_text(house: House, spelling: Spelling) -> None:
    assert await spelling.biases({"1" * 5000: 1}) == dict.fromkeys(await ids(house, "1" * 5000), 1)


async def test_texts_are_counted(spelling: Spelling) -> None:
    with pytest.raises(CommandError, match="at most 1024") as caught:
        await spelling.biases({f"a{number}": 1 for number in range(MOST_TEXTS + 1)})
    assert caught.value.details["field"] == "logit_bias"
    with pytest.raises(CommandError, match="at most 1024"):
        await spelling.prompts([(1, *["a"] * MOST_TEXTS), (1, "a")], "prompt")
