from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec import Raw, Struct

from livethread.model import Usage
from livethread.tasks import Embedding, EmbeddingResult
from livethread_server.tasks.measuring import PIECE_BYTES, json_size


class Mixed(Struct, frozen=True, rename="camel"):
    """Of everything something."""

    long_name: str
    some_numbers: tuple[int, ...] = ()
    raw_ones: tuple[Raw, ...] = ()
    rest: tuple[str, ...] | None = None


@pytest.mark.parametrize(
    "result",
    [
        Mixed("ä\n"),
        Mixed("a", (1,), (Raw(b"[1,2]"), Raw(b"{}")), ("x", "y")),
        EmbeddingResult((), Usage(1, 2, 3)),
        EmbeddingResult((Embedding(0, (0.25, 1.5), 2), Embedding(1, (), 2)), Usage(1, 2, 3)),
    ],
)
async def test_it_is_as_long_as_its_json(result: Struct) -> None:
    assert await json_size(result) == len(msgspec.json.encode(result))


async def test_others_have_their_turn_while_a_large_one_is_measured() -> None:
    pieces = 8
    measuring = asyncio.create_task(json_size(Mixed("a", rest=("x" * PIECE_BYTES,) * pieces)))
    turns = 0
    while not measuring.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= pieces
