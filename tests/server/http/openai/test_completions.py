"""Requests of completions as inputs of tasks, results as completions, text as chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Alternative, Sampling, Timings, TokenLogprob, Usage
from livethread.tasks import Choice, GenerationResult, TextCompletionInput
from livethread_server.http.openai.answers import Completion
from livethread_server.http.openai.completions import CompletionStream, completion, completion_input
from livethread_server.http.openai.head import Head
from livethread_server.http.openai.requests import CompletionRequest
from livethread_server.tasks.said import Said

HEAD = Head("cmpl-k1", 7, "smol", "b-livethread-1")
USED = Usage(10, 4, 6)
LIKELY = (Alternative(5, "a", (97,), -0.5), Alternative(6, "b", (98,), -1.5))
LOGPROBS = (TokenLogprob(5, "a", (97,), -0.5, LIKELY), TokenLogprob(6, "bc", (98, 99), -1.0, ()))


def request(**fields: Any) -> CompletionRequest:
    return msgspec.convert({"prompt": "Once"} | fields, CompletionRequest)


def asked(**fields: Any) -> TextCompletionInput:
    """The input that a request comes to, but for its prompt."""
    return msgspec.convert(completion_input(request(**fields), 2048), TextCompletionInput)


def refused(**fields: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        asked(**fields)
    return caught.value


def result(content: str, choices: int = 1, **fields: Any) -> GenerationResult:
    made = [
        Choice(index=index, content=content, reason="length", seed=index, completion_tokens=2, **fields)
        for index in range(choices)
    ]
    return GenerationResult(tuple(made), USED, Sampling())


def test_fields_have_their_meanings() -> None:
    given = asked(max_tokens=3, logprobs=2, suffix="end", stop="x", n=2, best_of=2)
    assert (given.max_tokens, given.logprobs, given.input_suffix, given.stop, given.n) == (3, 2, "end", ("x",), 2)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("best_of", {"best_of": 3}),
        ("echo", {"echo": True, "logprobs": 1}),
        ("echo", {"echo": True, "prompt": [1, 2]}),
    ],
)
def test_what_there_is_not_is_refused(name: str, fields: dict[str, Any]) -> None:
    error = refused(**fields)
    assert (error.code, error.details["field"]) == (ErrorCode.UNSUPPORTED, name)


def test_the_choices_of_all_prompts_are_counted_through() -> None:
    given = request(prompt=["Once", "Twice"], echo=True, n=2)
    told = completion(given, HEAD, [result(" a", 2), result(" b", 2)])
    assert [(one.index, one.text) for one in told.choices] == [
        (0, "Once a"),
        (1, "Once a"),
        (2, "Twice b"),
        (3, "Twice b"),
    ]
    assert told.usage not in (None, msgspec.UNSET)
    assert msgspec.to_builtins(told.usage)["total_tokens"] == 28


def test_logprobs_have_completions_own_shape() -> None:
    told = completion(request(), HEAD, [result("abc", logprobs=LOGPROBS)]).choices[0].logprobs
    assert msgspec.to_builtins(told) == {
        "tokens": ("a", "bc"),
        "token_logprobs": (-0.5, -1.0),
        "top_logprobs": ({"a": -0.5, "b": -1.5}, {}),
        "text_offset": (0, 1),
    }


def test_who_asks_as_llama_cpp_does_is_told_logprobs_in_its_shape_too() -> None:
    given = request(n_probs=2, return_tokens=True)
    whole = completion(given, HEAD, [result("abc", logprobs=LOGPROBS)]).choices[0].logprobs
    (piece,) = CompletionStream(given, HEAD).pieces([(0, Said(0, 0, 2, "abc", (5, 6), LOGPROBS))])
    told = msgspec.json.decode(piece)["choices"][0]
    assert told["tokens"] == [5, 6]
    assert told["logprobs"] == msgspec.json.decode(msgspec.json.encode(whole))
    assert [(one["id"], len(one["top_logprobs"])) for one in told["logprobs"]["content"]] == [(5, 2), (6, 0)]


@pytest.mark.parametrize("usage", [True, False])
def test_the_last_chunk_says_how_long_it_took(usage: bool) -> None:
    stream = CompletionStream(request(stream_options={"include_usage": usage}), HEAD)
    *_, last = stream.end([result("a", timings=Timings(queue_ms=1, prompt_ms=3, first_token_ms=4, generate_ms=4))])
    told = msgspec.json.decode(last)
    assert (told["timings"]["predicted_n"], told["timings"]["predicted_per_second"]) == (2, 500)
    assert ("usage" in told, bool(told["choices"])) == (usage, not usage)


def test_a_stream_is_completions_in_pieces() -> None:
    stream = CompletionStream(
        request(prompt=["Once", ""], echo=True, n=2, stream_options={"include_usage": True}), HEAD
    )
    said = [(0, Said(1, 0, 1, "a", (5,))), (1, Said(0, 0, 1, "b", (6,)))]
    told = [*stream.begin(), *stream.pieces(said), *stream.end([result("a", 2), result("b", 2)])]
    whole = [msgspec.json.decode(one, type=Completion) for one in told]
    assert [(one.index, one.text, one.finish_reason) for part in whole for one in part.choices] == [
        (0, "Once", None),
        (1, "Once", None),
        (1, "a", None),
        (2, "b", None),
        *((index, "", "length") for index in range(4)),
    ]
    assert [part.usage for part in whole[:-1]] == [None] * 8
    assert msgspec.to_builtins(whole[-1].usage)["prompt_tokens"] == 20


def test_offsets_go_on_over_chunks() -> None:
    stream = CompletionStream(request(), HEAD)
    told = stream.pieces([(0, Said(0, 0, 2, "abc", (5, 6), LOGPROBS)), (0, Said(0, 2, 3, "a", (5,), LOGPROBS[:1]))])
    offsets = [msgspec.json.decode(one)["choices"][0]["logprobs"]["text_offset"] for one in told]
    assert offsets == [[0, 1], [3]]
