"""Requests of embeddings as inputs of tasks, results as lists of vectors."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import msgspec
from msgspec import Raw

from livethread.model import Usage
from livethread.tasks import EmbeddingInput
from livethread_server.http.openai.embeddings import embedding_input, embedding_list
from livethread_server.http.openai.requests import EmbeddingRequest
from livethread_server.tasks.kinds.embedding import EncodedEmbedding, EncodedEmbeddings

RESULT = EncodedEmbeddings(
    (EncodedEmbedding(0, Raw(b"[0.5,-1.0]"), 3), EncodedEmbedding(1, Raw(b"[0.25,null]"), 4)), Usage(7, 0, 0)
)


def request(**fields: Any) -> EmbeddingRequest:
    return msgspec.convert({"input": "a"} | fields, EmbeddingRequest)


def test_texts_and_ids_are_embedded() -> None:
    asked = msgspec.convert(embedding_input(request(dimensions=2), [(1, 2), "b"]), EmbeddingInput)
    assert (asked.content, asked.dimensions, asked.embd_normalize) == (((1, 2), "b"), 2, 2)


def test_vectors_are_numbers() -> None:
    told = msgspec.json.decode(msgspec.json.encode(embedding_list(request(), "smol", RESULT)))
    assert told["data"][0] == {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}
    assert (told["object"], told["model"], told["usage"]) == ("list", "smol", {"prompt_tokens": 7, "total_tokens": 7})


def test_vectors_are_base64_of_small_floats() -> None:
    data = embedding_list(request(encoding_format="base64"), "smol", RESULT).data
    first, second = (struct.unpack("<2f", base64.b64decode(str(one.embedding))) for one in data)
    assert first == (0.5, -1.0)
    assert second[0] == 0.25
    assert math.isnan(second[1])  # JSON has no word for it but null
