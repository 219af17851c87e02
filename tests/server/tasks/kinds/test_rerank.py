from __future__ import annotations

import msgspec

from livethread_server.vocabulary import Vocabulary
from tests.house import READY, House
from tests.server.tasks.conftest import Do


async def test_documents_come_in_the_order_of_their_scores(house: House, do: Do, vocabulary: Vocabulary) -> None:
    house.engine.ready = msgspec.structs.replace(READY, ranks=True)
    documents = ["Short.", "A document that is a good deal longer.", "Of middle length."]
    result = await do("rerank", query="Which?", documents=documents)
    # The fake engine's score is the number of tokens.
    assert [one.index for one in result.results] == [1, 2, 0]
    ((pairs, pooling),) = house.engine.embedded
    assert pooling == "rank"
    assert result.usage.prompt_tokens == sum(map(len, pairs))
    assert [one.relevance_score for one in result.results] == sorted(map(len, pairs), reverse=True)
    assert len((await do("rerank", query="Which?", documents=documents, top_n=2)).results) == 2
