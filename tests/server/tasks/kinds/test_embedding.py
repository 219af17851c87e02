from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread.tasks import Embedding, EmbeddingResult
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing
from tests.server.tasks.conftest import Do

ALICE = Principal("alice", "Alice")


async def embedded(do: Do, **asked: Any) -> EmbeddingResult:
    """The result as a client gets it."""
    return msgspec.json.decode(msgspec.json.encode(await do("embedding", **asked)), type=EmbeddingResult)


async def test_texts_and_token_ids_become_vectors_in_order(house: House, do: Do) -> None:
    result = await embedded(do, content=["Hi.", [5, 6, 7]], embd_normalize=-1)
    assert [one.index for one in result.embeddings] == [0, 1]
    assert result.embeddings[1] == Embedding(1, (3.0, 5.0, 7.0, 0.0), 3)
    assert result.usage.prompt_tokens == result.embeddings[0].tokens + 3
    assert house.engine.embedded[0][1] == "mean"


@pytest.mark.parametrize(("content", "count"), [("Hi.", 1), ([5, 6], 1), ([[5], [6]], 2), (["a", "b"], 2)])
async def test_one_text_may_stand_alone(do: Do, content: Any, count: int) -> None:
    assert len((await embedded(do, content=content)).embeddings) == count


async def test_vectors_are_normalised_and_cut(do: Do) -> None:
    result = await embedded(do, content=[3, 4], dimensions=2)
    assert result.embeddings[0].embedding == pytest.approx((2 / 13**0.5, 3 / 13**0.5))


async def test_without_pooling_each_token_has_a_vector(house: House, do: Do) -> None:
    result = await embedded(do, content=[3, 4], pooling="none", embd_normalize=-1)
    assert result.embeddings[0].embedding == ((3.0, 1.0, 0.0, 0.0), (4.0, 1.0, 0.0, 0.0))
    assert house.engine.embedded[0][1] == "none"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"content": [1, "a"]}, "content"),
        ({"content": ""}, "content"),
        ({"content": [[1], [1 << 30]]}, "content[1]"),
        ({"content": [[1], [1] * 2049]}, "content[1]"),
        ({"content": "a", "dimensions": 5}, "dimensions"),
        ({"content": "a", "embd_normalize": -2}, "embd_normalize"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(house: House, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(CommandError) as caught:
        await house.tasks.create(ALICE, "embedding", asked)
    assert caught.value.details["field"] == field


async def test_it_fails_as_soon_as_there_are_too_many_bytes(vocabulary: Vocabulary, model_path: Path) -> None:
    house = House(MemoryStore(), vocabulary, GrammarCheck(model_path), task_bounds=TaskBounds(task_result_bytes=200))
    async for _ in closing(house):
        live = await house.tasks.create(ALICE, "embedding", {"content": [[1]] * 1000})
        task = await live.ended()
        assert task.error is not None
        assert (task.state, task.error.code) == ("failed", ErrorCode.TOO_LARGE)
        assert task.progress is not None
        assert task.progress.done < 50
