"""Requests of embeddings as inputs of tasks, results as lists of vectors."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec

from livethread.model import Usage
from livethread.tasks import Embedding, EmbeddingInput, EmbeddingResult
from livethread_server.http.openai.embeddings import embedding_input, embedding_list
from livethread_server.http.openai.requests import EmbeddingRequest

RESULT = EmbeddingResult((Embedding(0, (0.5, -1.0), 3), Embedding(1, (0.25, 0.0), 4)), Usage(7, 0, 0))


def request(**fields: Any) -> EmbeddingRequest:
    return msgspec.convert({"input": "a"} | fields, EmbeddingRequest)


def test_texts_and_ids_are_embedded() -> None:
    asked = msgspec.convert(embedding_input(request(dimensions=2), [(1, 2), "b"]), EmbeddingInput)
    assert (asked.content, asked.dimensions, asked.embd_normalize) == (((1, 2), "b"), 2, 2)


def test_vectors_are_numbers() -> None:
    told = msgspec.to_builtins(embedding_list(request(), "smol", RESULT))
    assert told["data"][1] == {"object": "embedding", "index": 1, "embedding": (0.25, 0.0)}
    assert (told["object"], told["model"], told["usage"]) == ("list", "smol", {"prompt_tokens": 7, "total_tokens": 7})


def test_vectors_are_base64_of_small_floats() -> None:
    told = embedding_list(request(encoding_format="base64"), "smol", RESULT).data[0].embedding
    assert isinstance(told, str)
    assert struct.unpack("<2f", base64.b64decode(told)) == (0.5, -1.0)
