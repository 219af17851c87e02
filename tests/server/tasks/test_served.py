"""Every kind of task once, with a real server and the real model, and one that was installed beside it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import livethread
from livethread.tasks import ChatCompletionInput, ChatTurn
from tests.plugin import EXAMPLE, installed
from tests.serving import ServerProcess

README = Path(__file__).parents[3] / "README.md"
CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "temperature": 0, "max_tokens": 6}
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


@pytest.fixture(scope="module")
def served(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    site = installed(EXAMPLE, tmp_path_factory.mktemp("plugin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
        server = ServerProcess(tmp_path_factory.mktemp("server"), model_path, "--task-sequences", "4", "--drain", "0.2")
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
    task = answer.json()
    assert (task["state"], task["instance"]) == ("done", answer.headers["livethread-instance"])
    return task["result"]


def test_a_chat_is_answered_alike_whoever_asks(web: httpx.Client, served: ServerProcess) -> None:
    first = result(web, "chat-completion", **CHAT, logprobs=2, return_tokens=True)
    (choice,) = first["choices"]
    assert (choice["reason"], choice["completion_tokens"], len(choice["tokens"])) == ("length", 6, 6)
    assert [one["token"] for one in choice["logprobs"]] == choice["tokens"]
    assert "".join(one["text"] for one in choice["logprobs"]) == choice["content"]

    async def stream() -> str:
        async with livethread.connect(served.ws_url) as client:
            turns = (ChatTurn("user", "Say hello."),)
            asked = ChatCompletionInput(messages=turns, temperature=0.0, max_tokens=6)
            return "".join([piece async for piece in client.task("chat-completion", asked)])

    assert asyncio.run(stream()) == choice["content"]


def test_choices_share_one_prompt(web: httpx.Client) -> None:
    turns = [{"role": "user", "content": "Tell me a story of a sailor and the sea. " * 6}]
    found = result(web, "chat-completion", messages=turns, n=3, seed=7, max_tokens=6)
    assert [choice["seed"] for choice in found["choices"]] == [7, 8, 9]
    assert len({choice["content"] for choice in found["choices"]}) > 1
    again = result(web, "chat-completion", messages=turns, n=1, seed=8, max_tokens=6)
    assert again["choices"][0]["content"] == found["choices"][1]["content"]
    assert again["usage"]["reused_tokens"] > 0.8 * again["usage"]["prompt_tokens"]


def test_an_answer_may_have_to_be_json(web: httpx.Client) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    found = result(web, "chat-completion", **CHAT | {"max_tokens": 40}, response_format=form)
    assert isinstance(json.loads(found["choices"][0]["content"])["ok"], bool)


def test_a_text_goes_on_and_is_not_ended_where_ends_are_ignored(web: httpx.Client) -> None:
    found = result(web, "text-completion", prompt="Once upon a", temperature=0, n_predict=3)
    assert found["choices"][0]["completion_tokens"] == 3
    prompt = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>"
    endless = result(web, "text-completion", prompt=prompt, temperature=0, n_predict=24, ignore_eos=True)
    assert (endless["choices"][0]["reason"], endless["choices"][0]["completion_tokens"]) == ("length", 24)


def test_texts_become_vectors_that_are_near_where_they_are_alike(web: httpx.Client) -> None:
    texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Quarterly revenue rose by 7 %."]
    found = result(web, "embedding", content=texts)
    first, second, third = (one["embedding"] for one in found["embeddings"])
    assert math.hypot(*first) == pytest.approx(1, abs=1e-5)
    near, far = (sum(a * b for a, b in zip(first, other, strict=True)) for other in (second, third))
    assert near > far
    each = result(web, "embedding", content=[1, 2, 3], pooling="none", dimensions=4)["embeddings"][0]
    assert [len(row) for row in each["embedding"]] == [4, 4, 4]


def test_a_text_is_classified_by_likelihood(web: httpx.Client) -> None:
    found = result(web, "text-classification", content="I love this, it is wonderful!", labels=["positive", "negative"])
    assert sum(one["score"] for one in found["labels"]) == pytest.approx(1)
    assert found["labels"][0]["label"] == "positive"
    assert all(one["logprob"] < 0 for one in found["labels"])


def test_tokens_and_templates_need_no_engine(web: httpx.Client) -> None:
    tokens = result(web, "tokenize", content="Hello there.")["tokens"]
    assert result(web, "detokenize", tokens=tokens)["content"] == "Hello there."
    assert result(web, "count-tokens", content="Hello there.")["tokens"] == len(tokens)
    assert (
        "Hello there."
        in result(web, "apply-template", messages=[{"role": "user", "content": "Hello there."}])["prompt"]
    )


def test_what_this_model_cannot_do_is_unsupported(web: httpx.Client) -> None:
    answer = web.post("/v1/tasks/rerank", json={"query": "a", "documents": ["b"]})
    assert answer.json()["code"] == "unsupported"


def test_a_kind_that_was_installed_is_one_like_any_other(web: httpx.Client) -> None:
    found = result(web, "keywords", content="The sailor loved the stormy ocean and his old ship.", top_n=3)
    assert len(found["keywords"]) == 3
    assert all(0 < one["score"] < 1 for one in found["keywords"])
    assert "keywords" in {kind["kind"] for kind in web.get("/v1/tasks/kinds").json()["kinds"]}


def test_a_cancelled_task_frees_what_it_held(web: httpx.Client) -> None:
    long = CHAT | {"max_tokens": 1500, "messages": [{"role": "user", "content": "Count to a thousand."}]}
    tasks = [
        web.post("/v1/tasks/chat-completion", json=long, headers={"prefer": "respond-async"}).json()["id"]
        for _ in range(6)
    ]
    for task in tasks:
        web.delete(f"/v1/tasks/{task}")
    assert result(web, "chat-completion", **CHAT)["choices"][0]["completion_tokens"] == 6
    assert web.get("/v1/stats").json()["live"]["running"] == 0
    figures = web.get("/metrics").text
    assert 'livethread_tasks_finished_total{kind="chat-completion",state="cancelled"} 6.0' in figures


def test_what_readme_says_of_tasks_runs(served: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    section = (
        README.read_text()
        .partition("## Tasks\n")[2]
        .partition("\n## ")[0]
        .replace("127.0.0.1:8000", served.url.removeprefix("http://"))
    )
    shell, python = re.findall(r"```(?:sh|python)\n(.*?)```", section, re.DOTALL)
    home = {**os.environ, "HOME": str(tmp_path), "CURL_HOME": str(tmp_path)}
    told = subprocess.run(
        ["bash", "-e", "-c", shell], env=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "event: task.delta" in told.stdout
    assert '"id":"job-1","kind":"embedding","state":"done"' in told.stdout
    said = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage(prompt_tokens=" in said.stdout


def test_a_server_that_goes_away_tells_who_streams_and_exits_with_0(served: ServerProcess, web: httpx.Client) -> None:
    long = CHAT | {"max_tokens": 1500, "messages": [{"role": "user", "content": "Count to a thousand."}]}
    with web.stream("POST", "/v1/tasks/chat-completion?stream=true", json=long) as stream:
        lines = stream.iter_lines()
        while next(lines) != "event: task.delta":
            pass
        served.send_signal()
        data = [line for line in lines if line.startswith("data: ")]
    last = json.loads(data[-1].removeprefix("data: "))
    assert (last["task"]["state"], last["task"]["reason"]) == ("cancelled", "cancelled")
    assert served.wait() == 0
