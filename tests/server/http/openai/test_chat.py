"""Requests of chat completions as inputs of tasks, results as completions, text as chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling, Timings, TokenLogprob, Usage
from livethread.tasks import ChatCompletionInput, Choice, GenerationResult
from livethread_server.http.openai.answers import ChatChunk, ChatCompletion
from livethread_server.http.openai.chat import ChatStream, chat_completion, chat_input
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.requests import ChatRequest
from livethread_server.tasks.said import Said

HEAD = Head("chatcmpl-k1", 7, "smol", "b-livethread-1")
HI = [{"role": "user", "content": "Hi"}]
LOGPROB = TokenLogprob(5, "a", (97,), -0.5, ())
USED = Usage(10, 4, 6)


def asked(**fields: Any) -> ChatCompletionInput:
    """The input that a request comes to."""
    request = msgspec.convert({"messages": HI, **fields}, ChatRequest)
    return msgspec.convert(chat_input(request, 2048), ChatCompletionInput)


def refused(**fields: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        asked(**fields)
    return caught.value


def result(*reasons: Any, **fields: Any) -> GenerationResult:
    choices = [
        Choice(index=index, content="ab", reason=reason, seed=index, completion_tokens=2, **fields)
        for index, reason in enumerate(reasons)
    ]
    return GenerationResult(tuple(choices), USED, Sampling())


def chunks(stream: ChatStream, said: list[Said], results: GenerationResult) -> list[ChatChunk]:
    told = [*stream.begin(), *stream.pieces([(0, one) for one in said]), *stream.end([results])]
    return [msgspec.json.decode(one, type=ChatChunk) for one in told]


def test_what_openai_and_llama_cpp_call_alike_goes_through() -> None:
    given = asked(
        temperature=0, top_p=0.5, presence_penalty=1, frequency_penalty=-1, n=2, min_p=0.1, grammar="root ::= 'a'"
    )
    assert (given.temperature, given.top_p, given.presence_penalty, given.frequency_penalty) == (0, 0.5, 1, -1)
    assert (given.n, given.min_p, given.grammar) == (2, 0.1, "root ::= 'a'")


def test_fields_that_change_nothing_are_not_looked_at() -> None:
    given = asked(
        user="me", metadata={"a": 1}, store=True, service_tier="auto", parallel_tool_calls=True, cache_prompt=1
    )
    assert given == asked()


@pytest.mark.parametrize(("wanted", "given"), [({}, None), ({"continue_final_message": False}, False)])
def test_a_last_message_of_the_assistants_is_continued_or_not(wanted: dict[str, bool], given: bool | None) -> None:
    said = [*HI, {"role": "assistant", "content": "He"}]
    assert asked(messages=said, **wanted).continue_final_message == given
    assert asked(messages=said, add_generation_prompt=False).continue_final_message is None


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"add_generation_prompt": True, "continue_final_message": True}, "continue_final_message"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
    ],
)
def test_an_answer_begins_or_goes_on(fields: dict[str, bool], name: str) -> None:
    assert refused(**fields).details["field"] == name


def test_nulls_were_not_given() -> None:
    names = [info.encode_name for info in msgspec.structs.fields(ChatRequest) if info.name != "messages"]
    assert asked(**dict.fromkeys(names)) == asked()


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6, "max_tokens": 5, "n_predict": 4}, 6),
        ({"n_predict": 4}, 4),
        ({"max_tokens": -1}, None),
    ],
)
def test_the_bound_on_tokens_has_three_names(fields: dict[str, int], limit: int | None) -> None:
    assert asked(**fields).max_tokens == limit


@pytest.mark.parametrize(("stop", "stops"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], None), ("", None)])
def test_stop_is_a_text_or_several(stop: Any, stops: Any) -> None:
    assert asked(stop=stop).stop == stops


@pytest.mark.parametrize(
    ("seed", "drawn"), [(1, 1), (-1, None), ((1 << 32) - 1, 0), (-2, (1 << 32) - 3), (1 << 62, 1 << 30)]
)
def test_any_integer_is_a_seed(seed: int, drawn: int | None) -> None:
    assert asked(seed=seed).seed == drawn


def test_llama_cpps_minus_ones_are_understood() -> None:
    given = asked(top_k=-1, repeat_last_n=-1, dry_penalty_last_n=-1)
    assert (given.top_k, given.repeat_last_n, given.dry_penalty_last_n) == (0, 2048, 2048)


def test_logprobs_are_asked_for_with_or_without_alternatives() -> None:
    assert asked(logprobs=True).logprobs == 0
    assert asked(logprobs=True, top_logprobs=3).logprobs == 3
    assert asked(logprobs=False).logprobs is None
    assert asked(n_probs=4).n_probs == 4
    assert refused(top_logprobs=3).details["field"] == "top_logprobs"


def test_parts_of_a_text_are_joined_and_developers_are_system() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": " the best book"}]
    turns = asked(messages=[{"role": "developer", "content": "Book"}, {"role": "user", "content": parts}]).messages
    assert [(turn.role, turn.content) for turn in turns] == [("system", "Book"), ("user", "What is the best book")]


def test_the_last_assistants_message_is_continued_but_not_two() -> None:
    said = {"role": "assistant", "content": "Well"}
    assert asked(messages=[*HI, said]).messages[-1].role == "assistant"
    assert refused(messages=[*HI, said, said]).code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("given", "schema"),
    [
        ({"type": "json_object"}, None),
        ({"type": "json_object", "schema": {"const": "42"}}, {"const": "42"}),
        ({"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"const": 1}}}, {"const": 1}),
        ({"type": "json_schema", "schema": {"const": 1}}, {"const": 1}),
    ],
)
def test_formats_come_with_their_schemas(given: dict[str, Any], schema: Any) -> None:
    wanted = asked(response_format=given).response_format
    assert wanted is not None
    nested = (wanted.json_schema or {}).get("schema")
    assert (wanted.type, wanted.schema or nested) == (given["type"], schema)


def test_a_format_of_text_is_none_and_a_schema_must_be_there() -> None:
    assert asked(response_format={"type": "text"}).response_format is None
    error = refused(response_format={"type": "json_schema", "json_schema": {"name": "x"}})
    assert error.details["field"] == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("functions", [{"name": "f"}]),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("web_search_options", {"search_context_size": "low"}),
        ("chat_template_kwargs", {"enable_thinking": False}),
        ("lora", [{"id": 0, "scale": 1}]),
        ("top_n_sigma", 1),
    ],
)
def test_what_would_change_the_answer_is_refused(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert (error.code, error.details["field"]) == (ErrorCode.UNSUPPORTED, name)


def test_what_asks_for_nothing_is_not_refused() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert asked(tools=tools, tool_choice="none", modalities=["text"], top_n_sigma=-1, lora=[]) == asked()


@pytest.mark.parametrize(
    ("message", "field", "code"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            "content[0].type",
            "unsupported",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text", "bad_request"),
        ({"role": "user"}, "content", "bad_request"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, "tool_calls", "unsupported"),
    ],
)
def test_turns_that_are_not_text_are_refused(message: dict[str, Any], field: str, code: str) -> None:
    error = refused(messages=[message])
    assert (error.code, error.details["field"]) == (code, f"messages[0].{field}")


def test_a_result_is_a_completion_with_usage_and_timings() -> None:
    timings = Timings(queue_ms=1, prompt_ms=8, first_token_ms=9, generate_ms=40)
    told = chat_completion(HEAD, result("stop_string", "context", timings=timings))
    plain = msgspec.json.decode(msgspec.json.encode(told))
    assert (plain["id"], plain["object"], plain["created"], plain["model"]) == (
        "chatcmpl-k1",
        "chat.completion",
        7,
        "smol",
    )
    assert plain["system_fingerprint"].startswith("b")
    assert plain["choices"][0] == {
        "index": 0,
        "message": {"content": "ab", "role": "assistant", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert plain["choices"][1]["finish_reason"] == "length"
    assert plain["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 6},
    }
    assert (plain["timings"]["prompt_n"], plain["timings"]["prompt_per_second"]) == (4, 500)
    assert (plain["timings"]["predicted_n"], plain["timings"]["predicted_per_token_ms"]) == (2, 20)


def test_tokens_and_logprobs_are_told_where_they_were_asked_for() -> None:
    told = chat_completion(HEAD, result("stop", tokens=(5,), logprobs=(LOGPROB,)))
    plain = msgspec.json.decode(msgspec.json.encode(told), type=ChatCompletion).choices[0]
    assert plain.tokens == (5,)
    assert plain.logprobs is not None
    assert plain.logprobs.content[0].logprob == -0.5


def test_a_stream_begins_with_roles_and_ends_with_reasons() -> None:
    said = [Said(0, 0, 1, 'a"\n', (5,)), Said(1, 0, 1, "ä", (6,)), Said(0, 1, 2, "", (7,))]
    told = chunks(ChatStream(HEAD, 2, usage=False), said, result("stop", "length"))
    assert {(one.id, one.created, one.model, one.system_fingerprint) for one in told} == {
        ("chatcmpl-k1", 7, "smol", "b-livethread-1")
    }
    assert [(one.choices[0].index, msgspec.to_builtins(one.choices[0].delta)) for one in told] == [
        (0, {"role": "assistant", "content": None}),
        (1, {"role": "assistant", "content": None}),
        (0, {"content": 'a"\n'}),
        (1, {"content": "ä"}),
        (0, {}),
        (1, {}),
    ]
    assert [one.choices[0].finish_reason for one in told] == [None, None, None, None, "stop", "length"]
    assert {one.usage for one in told} == {msgspec.UNSET}


def test_a_stream_ends_with_its_usage_where_that_was_asked_for() -> None:
    timings = Timings(queue_ms=1, prompt_ms=8, first_token_ms=9, generate_ms=40)
    told = chunks(ChatStream(HEAD, 1, usage=True), [Said(0, 0, 1, "a", (5,))], result("stop", timings=timings))
    assert [one.usage for one in told[:-1]] == [None, None, None]
    assert told[-1].choices == ()
    assert told[-1].usage is not None
    assert told[-1].usage is not msgspec.UNSET
    assert told[-1].usage.total_tokens == 14
    assert told[-1].timings is not msgspec.UNSET


def test_timings_come_with_the_last_chunk_without_usage() -> None:
    timings = Timings(queue_ms=1, prompt_ms=8, first_token_ms=9, generate_ms=40)
    told = chunks(ChatStream(HEAD, 1, usage=False), [], result("stop", timings=timings))
    assert told[-1].timings is not msgspec.UNSET
    assert told[-1].choices[0].finish_reason == "stop"


def test_logprobs_come_with_their_text() -> None:
    said = Said(0, 0, 1, "a", (5,), (LOGPROB,))
    told = chunks(ChatStream(HEAD, 1, usage=True), [said], result("stop"))[1].choices[0]
    assert told.logprobs is not None
    assert [(one.id, one.token, one.bytes, one.logprob) for one in told.logprobs.content] == [(5, "a", (97,), -0.5)]
