"""Embeddings: a request as an input of the task ``embedding``, its result as an answer.

It must never know how a task is carried out.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, cast

from livethread.tasks import EmbeddingResult
from livethread_server.http.openai.answers import EmbeddingList, EmbeddingObject, EmbeddingUsage
from livethread_server.http.openai.requests import EmbeddingRequest

KIND = "embedding"


def embedding_input(request: EmbeddingRequest, texts: Sequence[str | tuple[int, ...]]) -> dict[str, Any]:
    """What the task is given, not checked yet."""
    asked = {"content": texts, "dimensions": request.dimensions, "embd_normalize": request.embd_normalize}
    return {name: value for name, value in asked.items() if value is not None}


def embedding_list(request: EmbeddingRequest, model: str, result: EmbeddingResult) -> EmbeddingList:
    """The whole answer."""
    packed = request.encoding_format == "base64"
    data = []
    for one in result.embeddings:
        vector = cast(tuple[float, ...], one.embedding)  # one a text: the pooling is never "none" here
        data.append(EmbeddingObject(index=one.index, embedding=_packed(vector) if packed else vector))
    tokens = result.usage.prompt_tokens
    return EmbeddingList(data=tuple(data), model=model, usage=EmbeddingUsage(tokens, tokens))


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
