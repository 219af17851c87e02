"""What schemathesis cannot learn of the API from its document: what takes long, and what has a meaning only here.

A request that is meant to be wrong stays as wrong as it is.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

Map = dict[str, Any]

MOST = {"max_tokens": 3, "max_completion_tokens": 3, "n_predict": 3, "n": 2}
"""Nobody reads what is generated here."""
LIMITS = {"n": 64}
"""What is too much, where that is not what 31 bits hold."""
NEEDLESS = {
    # A grammar, a schema or a served name is not any text, and what the model cannot do is refused.
    *("model", "grammar", "json_schema", "response_format", "suffix", "input_prefix", "input_suffix", "dimensions"),
    # They must fit the vocabulary, or what else is sent.
    *("logit_bias", "n_probs", "n_predict", "top_logprobs", "echo", "best_of"),
    *("continue_final_message", "add_generation_prompt"),
}
HELLO = "Hi."
CONTEXT = 512
VOCABULARY = 1000
"""Fewer than any model has."""
SHORT = 8


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case[Any], kwargs: Map) -> None:
    """The last that is done to a request."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if case.method == "POST" and case.body is NOT_SET and (positive or case.path.endswith("/runs")):
        case.body, case.media_type = {}, "application/json"
    body = case.body if isinstance(case.body, dict) else {}
    if positive:
        _make_sense(case, body)
    if case.path.endswith("/runs") and case.method == "POST":
        if body.get("sampling") is None:
            body["sampling"] = {}
        _bound(body["sampling"])
    elif case.path.endswith("-completion"):
        _bound(body)
    elif case.path.endswith("/completions"):
        _bound(body, openai=True)


@schemathesis.hook
def filter_failure(
    context: Any, failure: Failure, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Whether it is one. OpenAI's API refuses what is too long with the status of what is wrong; and what is not there
    may be a message in a thread that is."""
    too_long = isinstance(failure, RejectedPositiveData) and b'"context_length_exceeded"' in response.content
    no_message = isinstance(failure, EnsureResourceAvailability) and b"There is no message" in response.content
    return not (too_long or no_message)


def _bound(sampling: Any, *, openai: bool = False) -> None:
    """Have few tokens generated, unless the server should refuse to generate so many."""
    if not isinstance(sampling, dict):
        return
    if all(sampling.get(name) is None for name in ("max_tokens", "n_predict")):
        sampling["max_tokens"] = MOST["max_tokens"]
    for name, most in MOST.items():
        given: Any = sampling.get(name)
        unlimited = given in (-1, 0) and (openai or name == "n_predict") and name != "n"
        if type(given) in (int, float) and (unlimited or most < given <= LIMITS.get(name, (1 << 31) - 1)):
            sampling[name] = most if given == int(given) else given


def _make_sense(case: schemathesis.Case[Any], body: Map) -> None:
    """Where the document can only say 'a text' or 'a number', send one that stands for something."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex  # no two requests are the same
    for name in ("If-Match", "Last-Event-ID"):
        if case.headers.get(name, "").isalnum():  # in its coverage phase it knows no other headers
            del case.headers[name]
    case.query.pop("cursor", None)
    for name in NEEDLESS & body.keys():
        del body[name]
    last = case.path.rpartition("/")[2]
    body |= OWN.get(last, {})
    for sampling in (body, body.get("sampling")):
        if isinstance(sampling, dict):
            _make_sampling_sense(sampling)
    if isinstance(messages := body.get("messages"), list):
        _make_turns(messages)
    for name in ("prompt", "content", "input", "tokens"):
        if isinstance(given := body.get(name), str | list | dict):
            body[name] = _word(given)
    if body.get("mode") == "continue":
        body["mode"] = "reply"  # to any last message
    if case.path.endswith(("/text-completion", "/v1/completions")):
        body["prompt"] = body.get("prompt") or HELLO
    if isinstance(labels := body.get("labels"), list):
        body["labels"] = list(dict.fromkeys(["one", "other", *(label[:SHORT] for label in labels[:4])]))
    if isinstance(case.body, dict | list):
        _shrink(case.body)


OWN: dict[str, Map] = {
    "shares": {"principal": "somebody", "role": "viewer", "invite": None, "expires_s": None},
    "count-tokens": {"content": HELLO, "messages": None},
}
"""Of several fields exactly one must be sent."""


def _make_sampling_sense(sampling: Map) -> None:
    for name in NEEDLESS & sampling.keys():
        del sampling[name]
    if isinstance(sampling.get("repeat_penalty"), int | float):
        sampling["repeat_penalty"] = max(0.01, sampling["repeat_penalty"])  # what it divides stays finite
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        if isinstance(sampling.get(name), int | float):
            sampling[name] = min(sampling[name], CONTEXT)


def _make_turns(messages: list[Map]) -> None:
    """Every turn says something, and only one is continued."""
    for turn in messages:
        content = turn.get("content")
        if content is None:
            turn["content"] = HELLO
        elif isinstance(content, list):
            turn["content"] = [part | {"text": part.get("text") or ""} for part in content]
    if [turn["role"] for turn in messages[-2:]] == ["assistant", "assistant"]:
        messages[-2]["role"] = "user"


def _vocabulary(given: list[Any]) -> list[Any]:
    """With token ids and texts of which every model makes something: not each can begin with nothing."""
    return [_word(one) for one in given]


def _word(one: Any) -> Any:
    if isinstance(one, list):
        return _vocabulary(one) or [1]
    if isinstance(one, dict):  # llama.cpp's prompt
        return {"prompt_string": HELLO}
    return one % VOCABULARY if isinstance(one, int | float) else one.removesuffix(HELLO) + HELLO


def _shrink(value: Any) -> None:
    """What is anything may hold integers that no 64 bits hold."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, int) and not -(1 << 63) <= item < 1 << 63:
            value[key] = 0
        elif isinstance(item, dict | list):
            _shrink(item)
