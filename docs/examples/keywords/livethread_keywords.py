"""A kind of task for livethread servers: the keywords of a text.

Candidates are the text's own words; the model says how likely it would name each of them. Installed beside the server,
the entry point in ``pyproject.toml`` makes it ``POST /v1/tasks/keywords`` and ``task.create`` with kind ``keywords``.
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from msgspec import Meta, Struct

from livethread.model import Usage
from livethread.tasks import ChatTurn
from livethread_server.tasks.kind import Abilities, Bench

CANDIDATES = 48
WORD = re.compile(r"[^\W\d_]{4,}")


class KeywordsInput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The text, and how many keywords of it are wanted."""

    content: Annotated[str, Meta(min_length=1, max_length=1 << 16)]
    top_n: Annotated[int, Meta(ge=1, le=CANDIDATES)] = 5


class Keyword(Struct, frozen=True):
    """``score`` is the geometric mean of the probabilities of the word's tokens."""

    word: str
    score: float


class KeywordsResult(Struct, frozen=True):
    """The likeliest first."""

    keywords: tuple[Keyword, ...]
    usage: Usage


class Keywords:
    """``keywords``."""

    name = "keywords"
    summary = "Name the words that a text is about."
    Input = KeywordsInput
    Result = KeywordsResult

    def refusal(self, abilities: Abilities) -> str | None:
        if abilities.generates:
            return None
        return f"The model {abilities.model} generates no text. Serve one that does."

    async def run(self, asked: KeywordsInput, bench: Bench) -> KeywordsResult:
        words = list(dict.fromkeys(word.lower() for word in WORD.findall(asked.content)))[:CANDIDATES]
        question = f"Which single word says best what this text is about? Answer with the word only.\n\n{asked.content}"
        prompt = await bench.chat([ChatTurn("user", question)], go_on=False)
        answers = [await bench.tokenize(word, special=False) for word in words]
        logprobs, usage = await bench.score(prompt, answers)
        scored = [
            Keyword(word, math.exp(logprob / len(tokens)))
            for word, tokens, logprob in zip(words, answers, logprobs, strict=True)
        ]
        scored.sort(key=lambda keyword: -keyword.score)
        return KeywordsResult(tuple(scored[: asked.top_n]), usage)
