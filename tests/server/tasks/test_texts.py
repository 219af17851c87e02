from __future__ import annotations

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.vocabulary import Vocabulary
from tests.house import House


async def test_a_pair_has_what_the_model_wants_between_and_around(house: House, vocabulary: Vocabulary) -> None:
    tokens = await house.shop.texts.pair("Who?", "Ann.")
    query, document = (tuple(vocabulary.tokenize(text, special=False)) for text in ("Who?", "Ann."))
    assert vocabulary.eos is not None
    assert tokens == (*query, vocabulary.eos, vocabulary.eos, *document, vocabulary.eos)


@pytest.mark.parametrize(
    ("tokens", "more", "code"),
    [
        ((), 1, ErrorCode.BAD_REQUEST),
        ((1 << 30,), 1, ErrorCode.BAD_REQUEST),
        ((1,) * 2048, 1, ErrorCode.CONTEXT_OVERFLOW),
        ((1,) * 2000, 49, ErrorCode.CONTEXT_OVERFLOW),
    ],
)
def test_prompts_that_cannot_be(house: House, tokens: tuple[int, ...], more: int, code: ErrorCode) -> None:
    with pytest.raises(CommandError) as caught:
        house.shop.texts.check_prompt(tokens, more)
    assert caught.value.code is code


def test_prompts_that_just_fit(house: House) -> None:
    house.shop.texts.check_prompt((1,) * 2047)
    house.shop.texts.check_prompt((1,) * 2000, 48)


async def test_pieces_of_control_tokens_are_shown(house: House, vocabulary: Vocabulary) -> None:
    assert vocabulary.eos is not None
    assert await house.shop.texts.pieces([vocabulary.eos]) == [b"<|im_end|>"]
