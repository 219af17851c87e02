"""What schemathesis cannot learn of the API from its document: what takes long, and what has a meaning only here.

A request that is meant to be wrong stays as wrong as it is.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis
from schemathesis.core import NOT_SET

Map = dict[str, Any]

MOST = {"max_tokens": 3, "n_predict": 3, "n": 2}
"""Nobody reads what is generated here."""
INTEGERS = 1 << 31
CONTEXT = 512
KEYS = count(1)


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: Map) -> None:
    """The last that is done to a request."""
    if case.method == "POST" and case.path.endswith("/runs") and case.body is NOT_SET:
        case.body, case.media_type = {}, "application/json"
    body = case.body if isinstance(case.body, dict) else {}
    if case.path.endswith("/runs") and case.method == "POST":
        _bound(body)
    elif case.path.endswith("-completion"):
        _bound({"sampling": body})
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _make_sense(case, body)


def _bound(body: Map) -> None:
    """Have few tokens generated."""
    if body.get("sampling") is None:
        body["sampling"] = {}
    sampling = body["sampling"]
    if isinstance(sampling, dict):
        if sampling.get("max_tokens") is None and sampling.get("n_predict") is None:
            sampling["max_tokens"] = MOST["max_tokens"]
        for name, most in MOST.items():
            given = sampling.get(name)
            if type(given) is int and not 1 <= given <= most and given < INTEGERS and given:
                sampling[name] = most if given > 0 or name == "n_predict" else given


def _make_sense(case: schemathesis.Case, body: Map) -> None:
    """Where the document can only say 'a text' or 'a number', send one that stands for something."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"key-{next(KEYS)}"  # no two requests are the same
    case.query.pop("cursor", None)
    if case.path.endswith("/shares"):
        body.clear()
        body |= {"principal": "somebody", "role": "viewer"}
    if case.path.endswith("/count-tokens"):
        body |= {"content": "Hi.", "messages": None}
    if case.path.endswith("/text-completion"):
        body |= {"prompt": body.get("prompt") or "Hi.", "input_prefix": None, "input_suffix": None}
    for sampling in (body, body.get("sampling")):
        if isinstance(sampling, dict):
            _make_sampling_sense(sampling)
    _shrink(body)


def _make_sampling_sense(sampling: Map) -> None:
    """Neither grammars nor schemas nor token ids nor served names are any text or number."""
    for name in ("model", "grammar", "json_schema", "logit_bias", "response_format", "n_probs", "n_predict"):
        if name in sampling:
            sampling[name] = None
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        if isinstance(sampling.get(name), int | float):
            sampling[name] = min(sampling[name], CONTEXT)


def _shrink(value: Any) -> None:
    """What is anything may hold integers that no 64 bits hold."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, int) and not -(1 << 63) <= item < 1 << 63:
            value[key] = 0
        elif isinstance(item, dict | list):
            _shrink(item)
