"""Tasks over HTTP, with real sockets and an engine whose words the test gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.answering import answering
from tests.house import House
from tests.socketry import OpenHouse, opened
from tests.tokens import given_out, taken_back

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        yield doors


@pytest.fixture
async def web(doors: OpenHouse) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=doors.url, timeout=20) as client:
        yield client


async def ended(web: httpx.AsyncClient, task: str) -> Any:
    answer = await web.get(f"/v1/tasks/{task}", params={"wait_ms": 10_000})
    assert answer.status_code == 200
    return answer.json()


def events(body: str) -> list[tuple[str, Any]]:
    """The named events of a stream, with their data."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n") if line) for block in body.split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


async def test_a_waiting_client_gets_the_finished_task(house: House, web: httpx.AsyncClient) -> None:
    async with answering(house.engine):
        answer = await web.post("/v1/tasks/chat-completion", json=CHAT, params={"task": "t", "timeout_ms": 60_000})
    assert answer.status_code == 200
    task = answer.json()
    assert (task["id"], task["state"], task["timeout_ms"]) == ("t", "done", 60_000)
    assert task["result"]["choices"][0]["content"] == "Good day."
    assert answer.headers["location"] == "/v1/tasks/t"
    assert answer.headers["livethread-instance"] == task["instance"] == "i_1"
    assert (await web.get("/v1/tasks/t")).json() == task


async def test_one_that_prefers_so_is_answered_at_once(house: House, web: httpx.AsyncClient) -> None:
    answer = await web.post("/v1/tasks/chat-completion", json=CHAT, headers={"prefer": "respond-async, wait=5"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    task = answer.json()
    assert (task["state"], answer.headers["location"]) == ("queued", f"/v1/tasks/{task['id']}")
    assert (await web.get("/v1/tasks", params={"state": "queued"})).json()["tasks"][0]["id"] == task["id"]
    async with answering(house.engine):
        assert (await ended(web, task["id"]))["state"] == "done"


@pytest.mark.parametrize("how", [{"params": {"stream": "true"}}, {"headers": {"accept": "text/event-stream"}}])
async def test_one_that_streams_is_told_of_text_and_end(
    house: House, web: httpx.AsyncClient, how: dict[str, Any]
) -> None:
    async with answering(house.engine):
        answer = await web.post("/v1/tasks/chat-completion", json=CHAT | {"logprobs": 1}, **how)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert told[-1][0] == "task.updated"
    deltas = [data for name, data in told if name == "task.delta"]
    assert "".join(delta["text"] for delta in deltas) == "Good day."
    assert [len(delta["logprobs"]) for delta in deltas] == [delta["to"] - delta["from"] for delta in deltas]
    assert told[-1][1]["task"]["result"]["choices"][0]["content"] == "Good day."
    again = await web.get(answer.headers["location"], headers={"accept": "text/event-stream"})
    assert events(again.text)[-1] == told[-1]


@pytest.mark.parametrize("how", [{}, {"stream": "true"}])
async def test_one_that_goes_away_cancels_what_it_waits_for(
    house: House, web: httpx.AsyncClient, doors: OpenHouse, how: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=doors.url) as leaving:
        asking = asyncio.create_task(
            leaving.post("/v1/tasks/chat-completion?task=t", json=CHAT, params=how | {"task": "t"})
        )
        while not house.engine.unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    task = await ended(web, "t")
    assert (task["state"], task["reason"]) == ("cancelled", "cancelled")
    assert house.engine.unfinished == []


async def test_one_with_a_key_may_come_back_for_it(house: House, web: httpx.AsyncClient, doors: OpenHouse) -> None:
    key = {"idempotency-key": "k"}
    async with httpx.AsyncClient(base_url=doors.url) as leaving:
        asking = asyncio.create_task(leaving.post("/v1/tasks/chat-completion", json=CHAT, headers=key))
        while not house.engine.unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    async with answering(house.engine):
        answer = await web.post("/v1/tasks/chat-completion", json=CHAT, headers=key)
    assert answer.json()["state"] == "done"
    assert len(house.engine.submitted) == 1
    other = await web.post("/v1/tasks/tokenize", json={"content": "a"}, headers=key)
    assert (other.status_code, other.json()["details"]["field"]) == (400, "key")
    assert (await web.post("/v1/tasks/tokenize", json={}, headers={"idempotency-key": "k" * 257})).status_code == 400


async def test_cancelling_is_deleting_and_may_be_repeated(house: House, web: httpx.AsyncClient) -> None:
    task = (await web.post("/v1/tasks/chat-completion", json=CHAT, headers={"prefer": "respond-async"})).json()["id"]
    for _ in range(2):
        answer = await web.delete(f"/v1/tasks/{task}")
        assert (answer.status_code, answer.json()) == (200, {"task": task, "state": "cancelled"})
    assert (await web.delete("/v1/tasks/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("chat-completion", {"messages": []}, 400, "bad_request"),
        ("chat-completion", CHAT | {"nonsense": 1}, 400, "bad_request"),
        ("tokenize", [], 400, "bad_request"),
        ("chat-completion", {"messages": [{"role": "user", "content": "word " * 3000}]}, 422, "context_overflow"),
        ("rerank", {"query": "a", "documents": ["b"]}, 422, "unsupported"),
        ("nonsense", {}, 405, "bad_request"),
    ],
)
async def test_refusals_are_problems(web: httpx.AsyncClient, kind: str, body: Any, status: int, code: str) -> None:
    answer = await web.post(f"/v1/tasks/{kind}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_kind_that_is_mistyped_is_refused_with_those_that_there_are(web: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    answer = await web.post("/v1/tasks/chat-completions?stream=true", json=CHAT, headers=key)
    assert answer.status_code == 405
    assert answer.json()["detail"].startswith("There is no kind of task 'chat-completions'. Choose one of: chat-")
    assert answer.json()["details"] == {"field": "kind"}
    assert "POST" not in answer.headers["allow"]
    odd = await web.post("/v1/tasks/chat-completions?wait_ms=0", headers={"If-Match": "1"}, content=b"{")
    assert (odd.status_code, odd.headers["allow"]) == (405, "GET, DELETE, OPTIONS")
    assert (await web.options("/v1/tasks/chat-completions")).headers["allow"] == odd.headers["allow"]
    paths = (await web.get("/v1/tasks/chat-completions")).status_code, (await web.get("/v1/tasks/kinds")).status_code
    assert paths == (404, 200)


async def test_a_task_that_fails_is_a_problem_for_who_waits(house: House, web: httpx.AsyncClient) -> None:
    asking = asyncio.create_task(web.post("/v1/tasks/chat-completion", json=CHAT, params={"task": "t"}))
    while not house.engine.unfinished:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    house.engine.finish(house.engine.unfinished[0], "error", "The engine died. Ask again.")
    answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["details"] == {"task": "t"}
    assert (await ended(web, "t"))["state"] == "failed"


async def test_the_kinds_say_what_they_take_and_whether_the_model_can(web: httpx.AsyncClient) -> None:
    kinds = {kind["kind"]: kind for kind in (await web.get("/v1/tasks/kinds")).json()["kinds"]}
    assert list(kinds) == [
        *("chat-completion", "text-completion", "embedding", "rerank", "text-classification"),
        *("tokenize", "detokenize", "count-tokens", "apply-template"),
    ]
    assert (kinds["chat-completion"]["available"], kinds["chat-completion"]["reason"]) == (True, None)
    assert kinds["rerank"]["available"] is False
    assert "reranker" in kinds["rerank"]["reason"]
    assert "CountTokensInput" in json.dumps(kinds["count-tokens"]["input"])


async def test_two_principals_see_nothing_of_each_other(guarded: House, tmp_path: Path) -> None:
    tokens = {name: given_out(tmp_path / "tokens.json", name) for name in ("alice", "bob")}
    async with opened(guarded) as doors, httpx.AsyncClient(base_url=doors.url) as web:
        bearers = {name: {"authorization": f"Bearer {token}"} for name, token in tokens.items()}
        assert (await web.post("/v1/tasks/tokenize", json={"content": "a"})).status_code == 401
        made = await web.post("/v1/tasks/tokenize?task=t", json={"content": "a"}, headers=bearers["alice"])
        assert made.json()["by"]["id"] == "alice"
        assert (await web.get("/v1/tasks/t", headers=bearers["bob"])).status_code == 404
        assert (await web.delete("/v1/tasks/t", headers=bearers["bob"])).status_code == 404
        assert (await web.get("/v1/tasks", headers=bearers["bob"])).json() == {"tasks": [], "cursor": None}
        assert (await web.get("/v1/tasks/t", headers=bearers["alice"])).status_code == 200


@pytest.mark.parametrize("how", [{}, {"params": {"stream": "true"}}])
@pytest.mark.parametrize("path", ["/v1/tasks/chat-completion", "/openai/v1/chat/completions"])
async def test_who_may_stay_no_longer_waits_no_longer(
    guarded: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, how: dict[str, Any]
) -> None:
    monkeypatch.setattr("livethread_server.auth.gate.LOOK_SECONDS", 0.05)
    headers = {"authorization": f"Bearer {given_out(tmp_path / 'tokens.json', 'alice')}"}
    if how and path.startswith("/openai"):
        how = {"json": CHAT | {"stream": True}}
    async with opened(guarded) as doors, httpx.AsyncClient(base_url=doors.url, timeout=20, headers=headers) as web:
        asking = asyncio.create_task(web.post(path, **({"json": CHAT} | how)))
        while not guarded.engine.unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        run = guarded.engine.unfinished[0]
        guarded.engine.start(run)
        guarded.engine.say(run, "Good ", (1,))
        await asyncio.sleep(0)
        taken_back(tmp_path / "tokens.json", "alice")
        answer = await asking
    assert guarded.engine.unfinished == []
    assert "expired or was revoked" in answer.text
    assert answer.status_code == 401 or how
