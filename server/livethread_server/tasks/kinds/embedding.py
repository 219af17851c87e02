"""Texts as vectors."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from livethread.errors import bad_request
from livethread.model import Usage
from livethread.tasks import Embedding, EmbeddingInput, EmbeddingResult
from livethread_server.tasks.kind import Abilities, Bench, Vector
from livethread_server.tasks.kinds.vectors import fitted

FEW = 16
"""As many vectors are made to fit at once; more of them beside the event loop."""


class EmbeddingKind:
    """``embedding``."""

    name = "embedding"
    summary = "Turn texts into vectors."
    Input = EmbeddingInput
    Result = EmbeddingResult

    def refusal(self, abilities: Abilities) -> str | None:
        if abilities.dimensions:
            return None
        return f"The model {abilities.model} makes no vectors of texts. Serve one that does."

    async def run(self, asked: EmbeddingInput, bench: Bench) -> EmbeddingResult:
        if asked.dimensions is not None and asked.dimensions > bench.abilities.dimensions:
            raise bad_request(
                "dimensions",
                f"Field 'dimensions' is {asked.dimensions}, but the model's vectors have "
                f"{bench.abilities.dimensions}. Ask for that many at most.",
            )
        texts = [await bench.embed_tokens(one) if isinstance(one, str) else one for one in _texts(asked)]
        async with aclosing(bench.embed(texts, asked.pooling)) as vectors:
            found = [await _embedding(vector, asked, texts) async for vector in vectors]
        found.sort(key=lambda embedding: embedding.index)
        return EmbeddingResult(tuple(found), Usage(sum(map(len, texts)), 0, 0))


async def _embedding(vector: Vector, asked: EmbeddingInput, texts: list[tuple[int, ...]]) -> Embedding:
    def fit() -> tuple[tuple[float, ...], ...]:
        return tuple(fitted(row, asked.embd_normalize, asked.dimensions) for row in vector.rows)

    rows = fit() if len(vector.rows) <= FEW else await asyncio.to_thread(fit)
    return Embedding(vector.index, rows if asked.pooling == "none" else rows[0], len(texts[vector.index]))


def _texts(asked: EmbeddingInput) -> list[str | tuple[int, ...]]:
    if isinstance(asked.content, str):
        return [asked.content]
    texts = [one for one in asked.content if not isinstance(one, int)]
    if not texts:
        return [tuple(one for one in asked.content if isinstance(one, int))]
    if len(texts) < len(asked.content):
        raise bad_request(
            "content",
            "Field 'content' mixes token ids with texts. Send token ids alone, or each text's ids as a list.",
        )
    return texts
