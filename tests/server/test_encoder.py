"""A real server with a model that turns texts into vectors and ranks, but cannot generate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import livethread
from livethread.errors import CommandError, ErrorCode
from tests.minilm import DIMENSIONS, LONGEST, classifier, head
from tests.serving import ServerProcess

SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
LIKENESS = np.array([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
"""How alike they are, as the authors of this model's own library say in its documentation."""
NAME = "all-minilm-l6-v2-rank"
CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def served(reranker_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("server"), reranker_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def web(served: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client


def result(web: httpx.Client, kind: str, **asked: Any) -> Any:
    answer = web.post(f"/v1/tasks/{kind}", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def vectors(told: Any) -> NDArray[np.float64]:
    return np.array([one["embedding"] for one in told])


def test_it_is_healthy_and_says_what_its_model_can_do(web: httpx.Client) -> None:
    assert web.get("/health").status_code == 200
    kinds = {kind["kind"]: kind for kind in web.get("/v1/tasks/kinds").json()["kinds"]}
    available = {name for name, kind in kinds.items() if kind["available"]}
    assert {"embedding", "rerank", "tokenize"} <= available
    assert "chat-completion" not in available


def test_its_figures_are_those_of_an_engine_without_threads(web: httpx.Client) -> None:
    assert web.get("/v1/stats").json()["threads"]["live"] == 0
    assert "livethread_" in web.get("/metrics").text


def test_its_vectors_are_those_that_the_models_authors_publish(web: httpx.Client) -> None:
    found = vectors(result(web, "embedding", content=SENTENCES)["embeddings"])
    assert found.shape == (3, DIMENSIONS)
    assert np.allclose(found @ found.T, LIKENESS, atol=2e-3)


def test_the_same_vectors_come_through_the_door_of_openai(web: httpx.Client) -> None:
    answer = web.post("/openai/v1/embeddings", json={"model": NAME, "input": SENTENCES})
    told = answer.json()
    own = result(web, "embedding", content=SENTENCES)
    assert np.allclose(vectors(told["data"]), vectors(own["embeddings"]), atol=1e-3)
    assert told["usage"]["prompt_tokens"] == own["usage"]["prompt_tokens"]


def test_a_score_is_what_the_head_makes_of_the_vector_of_the_first_token(web: httpx.Client) -> None:
    query, documents = "where do cats sleep", ["a cat naps on a sofa", "stocks fell", "a dog barks"]
    ranked = result(web, "rerank", query=query, documents=documents)["results"]
    pairs = [[*tokens(web, query), SEP, *tokens(web, document)] for document in documents]
    asked = {"content": [[CLS, *pair] for pair in pairs], "pooling": "cls", "embd_normalize": -1}
    weights = classifier() | head()
    firsts = vectors(result(web, "embedding", **asked)["embeddings"])
    inner = np.tanh(firsts @ weights["cls.weight"].T + weights["cls.bias"])
    scores = (inner @ weights["cls.output.weight"].T + weights["cls.output.bias"])[:, 0]
    told = {one["index"]: one["relevance_score"] for one in ranked}
    assert [told[index] for index in range(3)] == pytest.approx(scores.tolist(), abs=2e-3)
    assert [one["index"] for one in ranked] == np.argsort(-scores).tolist()
    assert np.ptp(scores) > 0.02


def tokens(web: httpx.Client, text: str) -> list[int]:
    found: list[int] = result(web, "tokenize", content=text)["tokens"]
    return found


def test_a_text_that_is_longer_than_the_model_reads_is_refused(web: httpx.Client) -> None:
    answer = web.post("/v1/tasks/embedding", json={"content": [[CLS] * LONGEST, [CLS] * (LONGEST + 1)]})
    assert answer.json()["code"] == "context_overflow"
    assert answer.json()["details"]["context_tokens"] == LONGEST
    assert len(result(web, "embedding", content=[[CLS] * LONGEST])["embeddings"]) == 1


def test_who_wants_a_chat_hears_that_the_model_cannot(web: httpx.Client) -> None:
    turns = [{"role": "user", "content": "Hello"}]
    for path, asked, status in (
        ("/v1/tasks/chat-completion", {}, 422),
        ("/openai/v1/chat/completions", {"model": NAME}, 400),
    ):
        answer = web.post(path, json={"messages": turns} | asked)
        assert answer.status_code == status
        assert NAME in answer.text
        assert "unsupported" in answer.text
        assert "Serve one that" in answer.text


async def test_a_thread_hears_that_the_model_cannot_and_stays_as_it_was(served: ServerProcess) -> None:
    async with livethread.connect(served.ws_url) as client:
        thread = await client.create()
        with pytest.raises(CommandError, match=f"The model {NAME} turns texts into vectors") as refused:
            await asyncio.wait_for(thread.say("Hello").text(), 20)
        assert refused.value.code == ErrorCode.UNSUPPORTED
        assert (await thread.get()).thread.messages == ()
    assert served.health() == 200
