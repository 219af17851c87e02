"""The door from request to answer, over a real socket, with an engine whose words the test gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.session import ANYONE
from livethread_server.store.memory import MemoryStore
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing
from tests.socketry import opened
from tests.tokens import given_out

PIECE, PIECES = 100_000, 150
"""Characters that one piece of the slow reader's text has, and how many there are: more than sockets hold."""
HI = [{"role": "user", "content": "Hi"}]
CHAT = {"messages": HI}


@asynccontextmanager
async def asking(house: House, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the house's own door."""
    async with (
        opened(house) as doors,
        httpx.AsyncClient(base_url=f"{doors.url}/openai/v1", headers=headers, timeout=10) as client,
    ):
        yield client


async def run_of(house: House, *, without: tuple[str, ...] = ()) -> str:
    """A run that the engine has been given."""
    async with asyncio.timeout(10):
        while True:
            found = [run for run in house.engine.unfinished if run not in without]
            if found:
                return found[0]
            await asyncio.sleep(0.01)


async def no_run(house: House) -> None:
    """Return once the engine has nothing to do."""
    async with asyncio.timeout(10):
        while house.engine.unfinished:  # noqa: ASYNC110 - the engine is the test's own
            await asyncio.sleep(0.01)


async def say(house: House, *texts: str, reason: Any = "stop") -> None:
    """The engine says something in the run that it has."""
    run = await run_of(house)
    house.engine.start(run)
    for number, text in enumerate(texts):
        house.engine.say(run, text, (number,))
    house.engine.finish(run, reason)


async def answer_of(house: House, client: httpx.AsyncClient, path: str, body: Any, *texts: str) -> httpx.Response:
    """What is answered where the engine says ``texts``."""
    asked = asyncio.create_task(client.post(path, json=body))
    await say(house, *texts)
    return await asked


def data_of(text: str) -> list[Any]:
    """The data of events."""
    lines = [part.removeprefix("data: ") for part in text.split("\n\n") if part.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_a_chat_is_answered(house: House) -> None:
    async with asking(house) as client:
        answer = await answer_of(house, client, "/chat/completions", CHAT, "Hel", "lo")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["object"], told["model"]) == ("chat.completion", "smol")
    assert told["choices"][0]["message"]["content"] == "Hello"
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["id"] == f"chatcmpl-{answer.headers['x-request-id']}"
    assert told["usage"]["total_tokens"] == told["usage"]["prompt_tokens"] + told["usage"]["completion_tokens"]
    assert answer.headers["livethread-instance"] == "i_1"


async def test_a_stream_tells_the_text_as_it_comes(house: House) -> None:
    body = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=body))
        await say(house, "Hel", "lo", reason="length")
        answer = await asked
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = data_of(answer.text)
    assert answer.text.startswith("data: ")
    assert told[-1] == "[DONE]"
    assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in told[:-2]) == "Hello"
    assert told[-3]["choices"][0]["finish_reason"] == "length"
    assert (told[-2]["choices"], told[-2]["usage"]["total_tokens"] > 0) == ([], True)


async def test_a_stream_that_fails_at_once_has_a_status_of_its_own(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=CHAT | {"stream": True}))
        run = await run_of(house)
        house.engine.start(run)
        house.engine.finish(run, "error", "The engine is broken.")
        answer = await asked
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")


async def test_a_stream_that_fails_later_ends_with_the_error(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=CHAT | {"stream": True}))
        run = await run_of(house)
        house.engine.start(run)
        house.engine.say(run, "Hel", (1,))
        await asyncio.sleep(0.05)
        house.engine.finish(run, "error", "The engine is broken.")
        told = data_of((await asked).text)
    assert told[1]["choices"][0]["delta"] == {"content": "Hel"}
    assert told[-1]["error"]["type"] == "server_error"


async def test_who_goes_while_he_waits_ends_the_task(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=CHAT))
        await run_of(house)
        asked.cancel()
        await no_run(house)
    assert house.tasks.list(ANYONE).tasks[0].state == "cancelled"


async def test_who_goes_and_asks_again_with_his_key_gets_what_was_begun(house: House) -> None:
    async with asking(house, {"idempotency-key": "k"}) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=CHAT))
        await run_of(house)
        asked.cancel()
        answer = await answer_of(house, client, "/chat/completions", CHAT, "Hello")
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "Hello")
    assert len(house.engine.submitted) == 1


async def test_who_goes_in_the_middle_of_a_stream_ends_the_task(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(first_line(client, CHAT | {"stream": True}))
        run = await run_of(house)
        house.engine.start(run)
        house.engine.say(run, "Hel", (1,))
        assert (await asked).startswith("data: ")
        await no_run(house)
    assert house.tasks.list(ANYONE).tasks[0].state == "cancelled"


async def first_line(client: httpx.AsyncClient, body: Any) -> str:
    """The first line of a stream, which is not read further."""
    async with client.stream("POST", "/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            return line
    raise AssertionError("the stream has no line")


async def test_a_task_that_somebody_cancelled_is_not_begun_again(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/chat/completions", json=CHAT))
        await run_of(house)
        house.tasks.cancel(ANYONE, house.tasks.list(ANYONE).tasks[0].id)
        answer = await asked
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
    assert answer.json()["error"]["code"] == "cancelled"


async def test_a_reader_who_is_slow_gets_longer_pieces(house: House) -> None:
    async with asking(house) as client:
        asked = asyncio.create_task(lines_late(client, CHAT | {"stream": True}, house))
        run = await run_of(house)
        house.engine.start(run)
        for number in range(PIECES):
            house.engine.say(run, "x" * PIECE, (number,))
            await asyncio.sleep(0)
        house.engine.finish(run)
        lines = await asked
    told = data_of("\n\n".join(lines))[1:-2]
    assert sum(len(one["choices"][0]["delta"]["content"]) for one in told) == PIECES * PIECE
    assert len(told) < PIECES


async def lines_late(client: httpx.AsyncClient, body: Any, house: House) -> list[str]:
    """The lines of a stream that is read only when all was said."""
    async with client.stream("POST", "/chat/completions", json=body) as answer:
        await no_run(house)
        return [line async for line in answer.aiter_lines()]


async def test_several_prompts_are_answered_in_order(house: House) -> None:
    body = {"prompt": ["Once", [1, 2]], "max_tokens": 3, "logit_bias": {"the": -5}}
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/completions", json=body))
        first = await run_of(house)
        second = await run_of(house, without=(first,))
        for run, text in ((second, " more"), (first, " upon")):
            house.engine.start(run)
            house.engine.say(run, text, (5,))
            house.engine.finish(run, "length")
        told = (await asked).json()
    assert [(one["index"], one["text"]) for one in told["choices"]] == [(0, " upon"), (1, " more")]
    assert house.engine.submitted[second].tokens == (1, 2)
    assert set((house.engine.submitted[second].sampling.logit_bias or {}).values()) == {-5}
    assert (told["object"], told["id"][:5]) == ("text_completion", "cmpl-")


async def test_several_prompts_are_told_as_they_come(house: House) -> None:
    body = {"prompt": ["Once", "Twice"], "max_tokens": 3, "stream": True, "echo": True}
    async with asking(house) as client:
        asked = asyncio.create_task(client.post("/completions", json=body))
        first = await run_of(house)
        second = await run_of(house, without=(first,))
        for run, text in ((second, " more"), (first, " upon")):
            house.engine.start(run)
            house.engine.say(run, text, (5,))
            house.engine.finish(run, "length")
        told = data_of((await asked).text)
    texts = {0: "", 1: ""}
    for one in told[:-1]:
        texts[one["choices"][0]["index"]] += one["choices"][0]["text"]
    assert texts == {0: "Once upon", 1: "Twice more"}


async def test_a_prompt_that_is_refused_ends_the_others(house: House) -> None:
    async with asking(house) as client:
        answer = await client.post("/completions", json={"prompt": ["Once", [1 << 30]]})
        await no_run(house)
    assert answer.status_code == 400
    assert {one.state for one in house.tasks.list(ANYONE).tasks} == {"cancelled"}


async def test_texts_are_embedded(house: House) -> None:
    async with asking(house) as client:
        told = (await client.post("/embeddings", json={"input": [[3, 4], [4]], "dimensions": 3})).json()
        mixed = await client.post("/embeddings", json={"input": [3, "a", 4]})
    assert [len(one["embedding"]) for one in told["data"]] == [3, 3]
    assert abs(sum(number * number for number in told["data"][0]["embedding"]) - 1) < 1e-6
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert (len(mixed.json()["data"]), mixed.json()["usage"]["prompt_tokens"]) == (1, 3)


async def test_a_text_that_cannot_be_embedded_is_named(house: House) -> None:
    async with asking(house) as client:
        empty = await client.post("/embeddings", json={"input": ["a", ""]})
        large = await client.post("/embeddings", json={"input": [[1] * 4096, "a"]})
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "input[1]")
    error = large.json()["error"]
    assert (large.status_code, error["param"], error["code"]) == (400, "input[0]", "context_length_exceeded")
    assert error["message"].startswith("Text 0 is too large: it has 4096 tokens")


async def test_a_chats_tokens_are_counted(house: House) -> None:
    async with asking(house) as client:
        counted = (await client.post("/chat/completions/input_tokens", json=CHAT)).json()
        told = (await answer_of(house, client, "/chat/completions", CHAT, "Hello")).json()
    assert counted == {"object": "response.input_tokens", "input_tokens": told["usage"]["prompt_tokens"]}


async def test_models_are_listed_and_found(house: House) -> None:
    async with asking(house) as client:
        listed = (await client.get("/models")).json()
        found = await client.get("/models/smol")
        missing = await client.get("/models/hf%3Aorg/model.gguf")
    assert (listed["object"], listed["data"]) == ("list", [found.json()])
    assert (found.json()["owned_by"], found.json()["created"]) == ("livethread", 7)
    assert found.json()["meta"] == {"n_vocab": 49152, "n_ctx_train": 2048, "n_ctx": 2048, "n_embd": 4, "size": 9}
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert "hf:org/model.gguf" in missing.json()["error"]["message"]


async def test_what_is_known_of_a_model_is_told_while_it_is_loaded(house: House) -> None:
    house.engine.ready, house.engine.trouble = None, CommandError(ErrorCode.MODEL_LOADING, "Wait.")
    async with asking(house) as client:
        assert "n_embd" not in (await client.get("/models/smol")).json()["meta"]
        answer = await client.post("/chat/completions", json=CHAT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_an_unknown_model_is_not_found(house: House) -> None:
    async with asking(house) as client:
        answer = await client.post("/chat/completions", json=CHAT | {"model": "gpt-4o"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_any_name_will_do_where_the_operator_says_so(vocabulary: Vocabulary, model_path: Path) -> None:
    grammars = GrammarCheck(model_path)
    async for house in closing(House(MemoryStore(), vocabulary, grammars, any_model=True)):
        async with asking(house) as client:
            told = (await answer_of(house, client, "/chat/completions", CHAT | {"model": "gpt-4o"}, "Hi")).json()
        assert told["model"] == "gpt-4o"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "string"}, "messages"),
        ({"messages": [123]}, "messages[0]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [{"role": 123}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": 123}]}, "messages[0].content"),
        (CHAT | {"temperature": -1}, "temperature"),
        (CHAT | {"n": 0}, "n"),
        (CHAT | {"max_tokens": 0}, "max_tokens"),
        (CHAT | {"response_format": {"type": "sound"}}, "response_format.type"),
        (CHAT | {"response_format": {"type": "json_object", "schema": 123}}, "response_format.schema"),
        (
            CHAT | {"response_format": {"type": "json_object", "schema": {"type": "nonsense"}}},
            "response_format.schema",
        ),
        (
            CHAT | {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}},
            "response_format.json_schema.schema",
        ),
        (CHAT | {"logit_bias": {"99999999": 1}}, "logit_bias"),
        (CHAT | {"tools": [{"type": "function"}], "tool_choice": "required"}, "tools"),
    ],
)
async def test_wrong_requests_name_the_field(house: House, body: Any, param: str) -> None:
    async with asking(house) as client:
        answer = await client.post("/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


async def test_a_prompt_that_is_too_long_says_how_long(house: House) -> None:
    long = [{"role": "user", "content": "What is the best book? " * 1000}]
    async with asking(house) as client:
        answer = await client.post("/chat/completions", json={"messages": long, "stream": True})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "exceed_context_size_error")
    assert error["n_prompt_tokens"] > error["n_ctx"] == 2048


async def test_what_is_not_there_is_refused_in_openais_shape(house: House) -> None:
    async with asking(house) as client:
        missing = await client.post("/responses", json={})
        method = await client.get("/chat/completions")
        text = await client.post("/chat/completions", content="hi", headers={"content-type": "text/plain"})
        broken = await client.post("/completions", content="{", headers={"content-type": "application/json"})
    assert [one.status_code for one in (missing, method, text, broken)] == [404, 405, 415, 400]
    assert all(one.json()["error"]["type"] == "invalid_request_error" for one in (missing, method, text, broken))
    assert "POST" in method.headers["allow"]


async def test_more_tasks_than_one_may_have_are_refused(vocabulary: Vocabulary, model_path: Path) -> None:
    grammars = GrammarCheck(model_path)
    bounds = TaskBounds(tasks_per_principal=1)
    async for house in closing(House(MemoryStore(), vocabulary, grammars, task_bounds=bounds)):
        async with asking(house) as client:
            answer = await client.post("/completions", json={"prompt": ["Once", "Twice"]})
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            await no_run(house)


async def test_a_request_with_a_known_key_is_not_done_twice(house: House) -> None:
    async with asking(house, {"idempotency-key": "k"}) as client:
        first = await answer_of(house, client, "/chat/completions", CHAT, "Hello")
        again = await client.post("/chat/completions", json=CHAT)
    assert again.json()["id"] == first.json()["id"]
    assert len(house.engine.submitted) == 1


@pytest.mark.parametrize("how", [{}, {"stream": True}])
async def test_who_goes_ends_no_task_that_he_or_another_may_ask_for_by_its_key(
    house: House, how: dict[str, Any]
) -> None:
    async with opened(house) as doors:
        url, key = f"{doors.url}/openai/v1/chat/completions", {"idempotency-key": "k"}
        async with httpx.AsyncClient(headers=key, timeout=10) as staying:
            async with httpx.AsyncClient(headers=key) as leaving:
                first = asyncio.create_task(leaving.post(url, json=CHAT | how))
                await run_of(house)
                second = asyncio.create_task(staying.post(url, json=CHAT | how))
                while doors.web.sessions < 2:  # noqa: ASYNC110 - the door is the test's own
                    await asyncio.sleep(0.01)
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
            while doors.web.sessions > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await say(house, "Hello")
            assert "Hello" in (await second).text
    assert len(house.engine.submitted) == 1


@pytest.mark.parametrize("key", ["", "k" * 257])
async def test_a_key_that_is_none_is_refused(house: House, key: str) -> None:
    async with asking(house, {"idempotency-key": key}) as client:
        refused = await client.post("/chat/completions", json=CHAT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert not house.engine.submitted


async def test_a_range_that_the_document_names_is_kept(house: House) -> None:
    async with asking(house) as client:
        refused = await client.post("/chat/completions", json=CHAT | {"temperature": 101})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "temperature")


async def test_only_who_brings_a_token_is_answered(guarded: House, tmp_path: Path) -> None:
    token = given_out(tmp_path / "tokens.json", "alice")
    async with asking(guarded) as client:
        stranger = await client.get("/models")
        wrong = await client.get("/models", headers={"authorization": "Bearer sk-proj-1"})
        known = await client.get("/models", headers={"authorization": f"Bearer {token}"})
    assert [one.status_code for one in (stranger, wrong, known)] == [401, 401, 200]
    assert wrong.json()["error"]["code"] == "invalid_api_key"
    assert wrong.headers["www-authenticate"] == "Bearer"
