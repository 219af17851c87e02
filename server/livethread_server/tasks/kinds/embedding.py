"""Texts as vectors.

Each vector becomes JSON as soon as it is there: as such it takes less memory than numbers, and all of them together
would take the event loop too long.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import msgspec
from msgspec import Raw, Struct

from livethread.errors import bad_request
from livethread.model import Usage
from livethread.tasks import EmbeddingInput, EmbeddingResult
from livethread_server.tasks.kind import Abilities, Bench, Vector
from livethread_server.tasks.kinds.vectors import fitted

FEW = 16
"""As many vectors are made to fit at once; more of them beside the event loop."""


class EncodedEmbedding(Struct, frozen=True):
    """`livethread.tasks.Embedding` with the vector, or the list of them, as JSON."""

    index: int
    embedding: Raw
    tokens: int


class EncodedEmbeddings(Struct, frozen=True):
    """`livethread.tasks.EmbeddingResult` of such."""

    embeddings: tuple[EncodedEmbedding, ...]
    usage: Usage


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

    async def run(self, asked: EmbeddingInput, bench: Bench) -> EncodedEmbeddings:
        if asked.dimensions is not None and asked.dimensions > bench.abilities.dimensions:
            raise bad_request(
                "dimensions",
                f"Field 'dimensions' is {asked.dimensions}, but the model's vectors have "
                f"{bench.abilities.dimensions}. Ask for that many at most.",
            )
        texts = [await bench.embed_tokens(one) if isinstance(one, str) else one for one in _texts(asked)]
        found: list[EncodedEmbedding] = []
        size = 0
        async with aclosing(bench.embed(texts, asked.pooling)) as vectors:
            async for vector in vectors:
                found.append(await _embedding(vector, asked, texts))
                size += len(memoryview(found[-1].embedding))
                bench.report.result_grew(size)
        found.sort(key=lambda embedding: embedding.index)
        return EncodedEmbeddings(tuple(found), Usage(sum(map(len, texts)), 0, 0))


async def _embedding(vector: Vector, asked: EmbeddingInput, texts: list[tuple[int, ...]]) -> EncodedEmbedding:
    def fit() -> bytes:
        # One at a time: other OS threads have their turn between them.
        rows = [msgspec.json.encode(fitted(row, asked.embd_normalize, asked.dimensions)) for row in vector.rows]
        return b"[" + b",".join(rows) + b"]" if asked.pooling == "none" else rows[0]

    data = fit() if len(vector.rows) <= FEW else await asyncio.to_thread(fit)
    return EncodedEmbedding(vector.index, Raw(data), len(texts[vector.index]))


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
