"""What schemathesis cannot learn of the API from its document: what takes long, and what has a meaning only here.

A request that is meant to be wrong stays as wrong as it is.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.core import NOT_SET

Map = dict[str, Any]

MOST = {"max_tokens": 3, "max_completion_tokens": 3, "n_predict": 3, "n": 2}
"""Nobody reads what is generated here."""
NEEDLESS = {
    # A grammar, a schema or a served name is not any text, and what the model cannot do is refused.
    *("model", "grammar", "json_schema", "response_format", "suffix", "input_prefix", "input_suffix", "dimensions"),
    # They must fit the vocabulary, or what else is sent.
    *("logit_bias", "n_probs", "n_predict", "top_logprobs", "echo", "best_of", "continue_final_message"),
}
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
    if case.path.endswith("/runs") and case.method == "POST":
        if body.get("sampling") is None:
            body["sampling"] = {}
        _bound(body["sampling"])
    elif case.path.endswith(("-completion", "completions")):
        _bound(body)
    if positive:
        _make_sense(case, body)


def _bound(sampling: Any) -> None:
    """Have few tokens generated."""
    if not isinstance(sampling, dict):
        return
    if all(sampling.get(name) is None for name in ("max_tokens", "n_predict")):
        sampling["max_tokens"] = MOST["max_tokens"]
    for name, most in MOST.items():
        given = sampling.get(name)
        if type(given) in (int, float) and (most < given < 1 << 31 or given == -1) and given == int(given):
            sampling[name] = most if name != "n" or given > 0 else given


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
        if isinstance(body.get(name), list):
            body[name] = _vocabulary(body[name])
    if last == "text-completion" or last == "completions":
        body["prompt"] = body.get("prompt") or "Hi."  # not every model can begin with nothing
    if isinstance(labels := body.get("labels"), list):
        body["labels"] = list(dict.fromkeys(["one", "other", *(label[:SHORT] for label in labels[:4])]))
    if isinstance(case.body, dict | list):
        _shrink(case.body)


OWN: dict[str, Map] = {
    "shares": {"principal": "somebody", "role": "viewer", "invite": None, "expires_s": None},
    "count-tokens": {"content": "Hi.", "messages": None},
}
"""Of several fields exactly one must be sent."""


def _make_sampling_sense(sampling: Map) -> None:
    for name in NEEDLESS & sampling.keys():
        del sampling[name]
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        if isinstance(sampling.get(name), int | float):
            sampling[name] = min(sampling[name], CONTEXT)


def _make_turns(messages: list[Any]) -> None:
    """Every turn says something, and only one is continued."""
    for turn in messages:
        if isinstance(turn, dict):
            content = "Hi." if turn.get("content") is None else turn["content"]
            parts = isinstance(content, list)
            turn["content"] = [{**part, "text": part.get("text") or ""} for part in content] if parts else content
    if all(isinstance(turn, dict) and turn.get("role") == "assistant" for turn in messages[-2:]) and messages[1:]:
        messages[-2]["role"] = "user"


def _vocabulary(given: list[Any]) -> list[Any]:
    """Token ids that every model has."""
    return [
        _vocabulary(one) if isinstance(one, list) else one % VOCABULARY if isinstance(one, int | float) else one
        for one in given
    ]


def _shrink(value: Any) -> None:
    """What is anything may hold integers that no 64 bits hold."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, int) and not -(1 << 63) <= item < 1 << 63:
            value[key] = 0
        elif isinstance(item, dict | list):
            _shrink(item)
