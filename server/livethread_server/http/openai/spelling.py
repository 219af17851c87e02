"""Texts where token ids are meant, as llama.cpp's server takes them: as keys of biases, and amid the ids of a prompt.

It must never know what a request is answered with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from livethread.errors import CommandError, bad_request
from livethread_server.http.openai.content import Mixed
from livethread_server.http.openai.requests import Biases
from livethread_server.tasks.texts import Texts

MOST_TEXTS = 1024
"""How many texts of one request are turned into ids."""
DIGITS = 10
"""A longer number is no token's id."""


class Spelling:
    """Knows the ids of texts."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    async def prompts(self, prompts: Sequence[str | Mixed], name: str) -> list[str | tuple[int, ...]]:
        """Prompts in which no text stands amid ids. `CommandError` where there are too many of them."""
        _check(sum(isinstance(one, str) for prompt in prompts if not isinstance(prompt, str) for one in prompt), name)
        return [prompt if isinstance(prompt, str) else await self._ids(prompt) for prompt in prompts]

    async def _ids(self, mixed: Mixed) -> tuple[int, ...]:
        ids: list[int] = []
        for place, one in enumerate(mixed):
            if isinstance(one, int):
                ids.append(one)
            else:
                ids += await self._texts.tokens(one, special=True, beginning=place == 0)
        return tuple(ids)

    async def biases(self, given: Biases | None) -> dict[int, float] | None:
        """Biases by token id: a text's holds for each of its tokens. `CommandError` where there are too many texts."""
        if not given:
            return None
        pairs: Iterable[tuple[int | str, float]] = given.items() if isinstance(given, dict) else given
        pairs = [(_id(key), bias) for key, bias in pairs]
        _check(sum(isinstance(key, str) for key, _ in pairs), "logit_bias")
        biases: dict[int, float] = {}
        for key, bias in pairs:
            keys = (key,) if isinstance(key, int) else await self._texts.tokens(key, special=False, beginning=False)
            biases |= dict.fromkeys(keys, bias)
        return biases


def _id(key: int | str) -> int | str:
    return int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) <= DIGITS else key


def _check(texts: int, name: str) -> None:
    if texts > MOST_TEXTS:
        raise _too_many(texts, name)


def _too_many(texts: int, name: str) -> CommandError:
    return bad_request(
        name, f"Field '{name}' has {texts} texts among its ids, but at most {MOST_TEXTS} are taken. Send ids instead."
    )
