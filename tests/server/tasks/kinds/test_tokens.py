from __future__ import annotations

import pytest

from livethread.errors import CommandError
from livethread.model import Principal
from livethread.tasks import TokenPiece
from livethread_server.vocabulary import Vocabulary
from tests.house import House
from tests.server.tasks.conftest import Do

ALICE = Principal("alice", "Alice")
CHAT = [{"role": "user", "content": "Hi."}]


async def test_a_text_becomes_tokens_and_they_become_it_again(do: Do) -> None:
    text = "Grüße, <|im_start|>world 🙂!"
    tokens = (await do("tokenize", content=text)).tokens
    assert (await do("detokenize", tokens=tokens)).content == text
    plain = (await do("tokenize", content=text, parse_special=False)).tokens
    assert len(plain) > len(tokens)
    assert (await do("count-tokens", content=text)).tokens == len(tokens)
    assert (await do("count-tokens", content=text, parse_special=False)).tokens == len(plain)


async def test_pieces_are_text_or_the_bytes_of_half_characters(do: Do) -> None:
    pieces = (await do("tokenize", content="a 🦤<|im_start|>", with_pieces=True)).tokens
    assert all(isinstance(one, TokenPiece) for one in pieces)
    raw = b"".join(one.piece.encode() if isinstance(one.piece, str) else bytes(one.piece) for one in pieces)
    assert raw.decode() == "a 🦤<|im_start|>"
    assert any(isinstance(one.piece, tuple) for one in pieces)


async def test_the_beginning_is_put_in_front_where_the_model_has_one(
    do: Do, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = (await do("tokenize", content="Hi.")).tokens
    assert (await do("tokenize", content="Hi.", add_special=True)).tokens == plain
    monkeypatch.setattr(vocabulary, "add_bos", True)
    assert (await do("tokenize", content="Hi.", add_special=True)).tokens == (vocabulary.bos, *plain)


async def test_a_chat_is_counted_as_it_is_rendered(do: Do) -> None:
    prompt = (await do("apply-template", messages=CHAT)).prompt
    tokens = (await do("tokenize", content=prompt)).tokens
    assert (await do("count-tokens", messages=CHAT)).tokens == len(tokens)
    long = [{"role": "user", "content": "word " * 3000}]
    assert (await do("count-tokens", messages=long)).tokens > 3000


async def test_a_chat_is_shown_with_and_without_its_next_header_or_open(do: Do) -> None:
    header = "<|im_start|>assistant\n"
    shown = (await do("apply-template", messages=CHAT)).prompt
    assert shown.endswith(f"<|im_start|>user\nHi.<|im_end|>\n{header}")
    assert (await do("apply-template", messages=CHAT, add_generation_prompt=False)).prompt + header == shown
    opened = [*CHAT, {"role": "assistant", "content": "Good"}]
    assert (await do("apply-template", messages=opened)).prompt == f"{shown}Good"
    closed = (await do("apply-template", messages=opened, continue_final_message=False)).prompt
    assert closed == f"{shown}Good<|im_end|>\n{header}"


@pytest.mark.parametrize("asked", [{}, {"content": "a", "messages": CHAT}, {"messages": []}])
async def test_either_a_text_or_a_chat_is_counted(house: House, asked: dict[str, object]) -> None:
    with pytest.raises(CommandError) as caught:
        await house.tasks.create(ALICE, "count-tokens", asked)
    assert caught.value.details["field"] == "content"
