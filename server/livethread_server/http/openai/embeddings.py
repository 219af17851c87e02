"""Embeddings: a request as an input of the task ``embedding``, its result as an answer.

It must never know how a task is carried out.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Raw

from livethread_server.http.openai.answers import EmbeddingList, EmbeddingObject, EmbeddingUsage
from livethread_server.http.openai.requests import EmbeddingRequest
from livethread_server.tasks.kinds.embedding import EncodedEmbeddings

KIND = "embedding"


def embedding_input(request: EmbeddingRequest, texts: Sequence[str | tuple[int, ...]]) -> dict[str, Any]:
    """What the task is given, not checked yet."""
    asked = {"content": texts, "dimensions": request.dimensions, "embd_normalize": request.embd_normalize}
    return {name: value for name, value in asked.items() if value is not None}


def embedding_list(request: EmbeddingRequest, model: str, result: EncodedEmbeddings) -> EmbeddingList:
    """The whole answer. It takes its time where there are many: call it in an OS thread."""
    packed = request.encoding_format == "base64"
    data = []
    for one in result.embeddings:  # one vector a text: the pooling is never "none" here
        vector = _packed(one.embedding) if packed else cast("tuple[float, ...]", one.embedding)
        data.append(EmbeddingObject(index=one.index, embedding=vector))
    tokens = result.usage.prompt_tokens
    return EmbeddingList(data=tuple(data), model=model, usage=EmbeddingUsage(tokens, tokens))


def _packed(vector: Raw) -> str:
    numbers = [math.nan if number is None else number for number in _NUMBERS.decode(vector)]
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode("ascii")


_NUMBERS = msgspec.json.Decoder(list[float | None])
