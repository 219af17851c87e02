"""OpenAI's own clients against a real server, as they are documented, and the code of README and the how-to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.serving import ServerProcess

ROOT = Path(__file__).parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1"
BOOK: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Book"},
    {"role": "user", "content": "What is the best book"},
]


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(api_key="any", base_url=f"{live_server.url}/openai/v1", max_retries=0) as client:
        yield client


@pytest.fixture
async def patient(live_server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="any", base_url=f"{live_server.url}/openai/v1") as client:
        yield client


def test_a_chat_has_an_answer_usage_and_a_request_id(client: OpenAI) -> None:
    told = client.chat.completions.create(model=MODEL, messages=BOOK, max_completion_tokens=5, seed=42, temperature=0.8)
    assert told.choices[0].finish_reason == "length"
    assert told.choices[0].message.role == "assistant"
    assert told.choices[0].message.content
    assert told.usage is not None
    assert (told.usage.completion_tokens, told.usage.total_tokens) == (5, told.usage.prompt_tokens + 5)
    assert told.id == f"chatcmpl-{told._request_id}"
    assert (told.system_fingerprint or "").startswith("b")


def test_a_history_that_comes_again_is_not_computed_again(client: OpenAI) -> None:
    first = client.chat.completions.create(model=MODEL, messages=BOOK, max_tokens=8, temperature=0)
    said = first.choices[0].message.content or ""
    more: list[ChatCompletionMessageParam] = [
        *BOOK,
        {"role": "assistant", "content": said},
        {"role": "user", "content": "Why?"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=more, max_tokens=2, temperature=0)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    new = second.usage.prompt_tokens - first.usage.prompt_tokens - first.usage.completion_tokens
    computed = second.usage.prompt_tokens - (second.usage.prompt_tokens_details.cached_tokens or 0)
    assert computed <= new + 16


def test_a_stream_says_what_a_whole_answer_says(client: OpenAI) -> None:
    fixed: dict[str, Any] = {"model": MODEL, "messages": BOOK, "max_tokens": 6, "temperature": 0}
    whole = client.chat.completions.create(**fixed)
    chunks = list(client.chat.completions.create(**fixed, stream=True, stream_options={"include_usage": True}))
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == ("assistant", None)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_tokens_with_their_probabilities_make_up_the_text(client: OpenAI) -> None:
    fixed: dict[str, Any] = {"model": MODEL, "messages": BOOK, "max_tokens": 5, "temperature": 0}
    whole = client.chat.completions.create(**fixed, logprobs=True, top_logprobs=10).choices[0]
    assert whole.logprobs is not None
    assert whole.logprobs.content is not None
    assert "".join(token.token for token in whole.logprobs.content) == whole.message.content
    assert all(token.logprob <= 0 and token.bytes and len(token.top_logprobs) == 10 for token in whole.logprobs.content)
    text = ""
    for chunk in client.chat.completions.create(**fixed, logprobs=True, top_logprobs=1, stream=True):
        told = chunk.choices[0].logprobs
        text += "".join(token.token for token in (told.content or ())) if told else ""
    assert text == whole.message.content


def test_choices_are_drawn_apart_and_repeated_by_their_seed(client: OpenAI) -> None:
    fixed: dict[str, Any] = {"model": MODEL, "messages": BOOK, "max_tokens": 6, "n": 2, "seed": 7, "temperature": 1.5}
    first, again = (client.chat.completions.create(**fixed) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) == 2


def test_biases_and_stops_hold(client: OpenAI) -> None:
    plain = client.chat.completions.create(
        model=MODEL, messages=BOOK, max_tokens=4, temperature=0, logprobs=True, top_logprobs=1
    ).choices[0]
    assert plain.logprobs is not None
    assert plain.logprobs.content is not None
    token = plain.logprobs.content[0]
    banned = {str((token.model_extra or {})["id"]): -100}
    other = client.chat.completions.create(model=MODEL, messages=BOOK, max_tokens=1, temperature=0, logit_bias=banned)
    assert not (other.choices[0].message.content or "").startswith(token.token)
    stopped = client.chat.completions.create(
        model=MODEL, messages=BOOK, max_tokens=4, temperature=0, stop=[plain.logprobs.content[2].token]
    ).choices[0]
    assert stopped.finish_reason == "stop"
    assert (plain.message.content or "").startswith(stopped.message.content or "")


def test_the_last_assistants_message_goes_on(client: OpenAI) -> None:
    said: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "Count to ten."},
        {"role": "assistant", "content": [{"type": "text", "text": "1, 2, 3, "}, {"type": "text", "text": "4,"}]},
    ]
    told = client.chat.completions.create(model=MODEL, messages=said, max_tokens=3, temperature=0)
    assert (told.choices[0].message.content or "").strip().startswith("5")


class Answer(pydantic.BaseModel):
    """What an answer is parsed as."""

    word: Literal["yes", "no"]
    sure: bool


def test_an_answer_is_parsed_as_a_model_of_pydantic(client: OpenAI) -> None:
    told = client.chat.completions.parse(model=MODEL, messages=BOOK, response_format=Answer, temperature=0)
    assert isinstance(told.choices[0].message.parsed, Answer)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"response_format": {"type": "json_object", "schema": {"const": "42"}}}, '"42"'),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"const": "foo"}}}}, '"foo"'),
        ({"json_schema": {"const": "42"}}, '"42"'),
        ({"grammar": 'root ::= "a"{5,5}'}, "aaaaa"),
    ],
)
def test_the_text_has_the_form_that_it_must_have(client: OpenAI, fields: dict[str, Any], text: str) -> None:
    told = client.chat.completions.create(model=MODEL, messages=BOOK, max_tokens=10, extra_body=fields)
    assert told.choices[0].message.content == text


@pytest.mark.parametrize("schema", [123, {"type": 123}, {"type": "hiccup"}])
def test_a_form_that_cannot_be_is_refused(client: OpenAI, schema: Any) -> None:
    wanted = {"response_format": {"type": "json_object", "schema": schema}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=BOOK, max_tokens=10, extra_body=wanted)


def test_completions_go_on_with_prompts(client: OpenAI) -> None:
    fixed: dict[str, Any] = {"model": MODEL, "max_tokens": 3, "temperature": 0}
    once = client.completions.create(**fixed, prompt="Once upon a", logprobs=2, extra_body={"return_tokens": True})
    choice = once.choices[0]
    assert choice.finish_reason == "length"
    assert choice.logprobs is not None
    assert "".join(choice.logprobs.tokens or ()) == choice.text
    ids = (choice.model_extra or {})["tokens"]
    assert len(ids) == 3
    drawn: list[int] = []
    for chunk in client.completions.create(
        **fixed, prompt="Once upon a", stream=True, extra_body={"return_tokens": True}
    ):
        drawn += (chunk.choices[0].model_extra or {}).get("tokens", [])
    assert drawn == ids
    both = client.completions.create(**fixed, prompt=["Once upon a", "One, two,"], echo=True)
    assert both.choices[0].text == "Once upon a" + choice.text
    texts = ["", ""]
    for chunk in client.completions.create(**fixed, prompt=["Once upon a", "One, two,"], stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert [one.text for one in both.choices] == ["Once upon a" + texts[0], "One, two," + texts[1]]


def test_embeddings_are_the_same_in_both_encodings(client: OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input=["hello", "world"], encoding_format="base64")
    numbers = client.embeddings.create(model=MODEL, input=["hello", "world"], encoding_format="float")
    default = client.embeddings.create(model=MODEL, input="hello", dimensions=8)
    assert isinstance(packed.data[0].embedding, str)
    assert len(numbers.data) == 2
    assert abs(sum(number * number for number in numbers.data[0].embedding) - 1) < 1e-3
    assert len(default.data[0].embedding) == 8
    assert numbers.usage.prompt_tokens == numbers.usage.total_tokens > 0


def test_errors_are_the_exceptions_that_programs_expect(client: OpenAI) -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the best book? " * 1000}]
    with pytest.raises(openai.BadRequestError) as too_long:
        client.chat.completions.create(model=MODEL, messages=long)
    assert (too_long.value.code, too_long.value.type) == ("context_length_exceeded", "exceed_context_size_error")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=MODEL, messages=BOOK, temperature=-1)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="call no tools"):
        client.chat.completions.create(
            model=MODEL,
            messages=BOOK,
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice="required",
        )
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4o", messages=BOOK)
    assert unknown.value.code == "model_not_found"


def test_models_are_listed_and_raw_answers_shown(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "livethread"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("hf:owner/repo/file.gguf")
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=BOOK, max_tokens=1)
    assert raw.headers["livethread-instance"]
    assert raw.parse().id == f"chatcmpl-{raw.request_id}"


async def test_the_asyncio_client_streams_with_its_helper(patient: AsyncOpenAI) -> None:
    kinds = set()
    async with patient.chat.completions.stream(model=MODEL, messages=BOOK, stop=" ", temperature=0) as events:
        async for event in events:
            kinds.add(event.type)
        told = await events.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert told.choices[0].message.content


async def test_who_stops_reading_stops_the_task(patient: AsyncOpenAI, live_server: ServerProcess) -> None:
    events = await patient.chat.completions.create(model=MODEL, messages=BOOK, max_tokens=1500, stream=True)
    chunk = await anext(aiter(events))
    await events.close()
    async with httpx.AsyncClient(base_url=live_server.url) as web:
        path = f"/v1/tasks/{chunk.id.removeprefix('chatcmpl-')}?wait_ms=10000"
        assert (await web.get(path)).json()["state"] == "cancelled"


def test_the_node_client_works_as_documented(live_server: ServerProcess) -> None:
    node = shutil.which("node")
    assert node, "This test needs Node."
    assert (ROOT / "webclient/node_modules/openai").is_dir(), "OpenAI's client is missing. Run 'make webclient'."
    script = ROOT / "tests/e2e/openai_client.mjs"
    done = subprocess.run(
        [node, str(script), f"{live_server.url}/openai/v1", MODEL], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all is well"


def test_the_code_of_readme_and_how_to_runs(live_server: ServerProcess) -> None:
    section = re.search(r"^## OpenAI's API$.*?^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None
    text = section[0] + (ROOT / "docs/how-to/replace-openai.md").read_text()
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7
    for language, code in blocks:
        code = code.replace("http://127.0.0.1:8000", live_server.url)
        if language == "sh" and "curl" not in code:
            continue  # how to start a server
        command = [sys.executable, "-W", "error", "-c", code] if language == "python" else ["sh", "-euc", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert done.stdout.strip(), code
