"""Documents in the order of how well they answer a query."""

from __future__ import annotations

from contextlib import aclosing

from livethread.model import Usage
from livethread.tasks import Ranked, RerankInput, RerankResult
from livethread_server.tasks.kind import Abilities, Bench


class Rerank:
    """``rerank``."""

    name = "rerank"
    summary = "Order documents by how well they answer a query."
    Input = RerankInput
    Result = RerankResult

    def refusal(self, abilities: Abilities) -> str | None:
        if abilities.ranks:
            return None
        return f"The model {abilities.model} is not a reranker: it has no head that scores. Serve one that has."

    async def run(self, asked: RerankInput, bench: Bench) -> RerankResult:
        pairs = [await bench.pair(asked.query, document) for document in asked.documents]
        async with aclosing(bench.embed(pairs, "rank")) as vectors:
            found = [Ranked(vector.index, float(vector.rows[0, 0])) async for vector in vectors]
        found.sort(key=lambda ranked: (-ranked.relevance_score, ranked.index))
        return RerankResult(tuple(found[: asked.top_n]), Usage(sum(map(len, pairs)), 0, 0))
