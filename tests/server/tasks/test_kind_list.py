from __future__ import annotations

from typing import Any

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.tasks import ChatCompletionInput, ChatTurn, ResponseFormat
from livethread_server.tasks.kind_list import Kinds, input_of
from livethread_server.tasks.kinds.builtin import builtin_kinds
from livethread_server.tasks.kinds.chat_completion import ChatCompletion

TURNS = (ChatTurn("user", "Hi."),)


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_kinds_are_found_by_name_and_others_are_refused_with_those_there_are() -> None:
    kinds = Kinds(builtin_kinds())
    assert kinds.get("embedding").name == "embedding"
    assert set(kinds.names) == {kind.name for kind in kinds}
    with pytest.raises(CommandError, match="chat-completion, text-completion") as caught:
        kinds.get("x" * 1000)
    assert (caught.value.code, len(caught.value.message) < 400) == (ErrorCode.BAD_REQUEST, True)


def test_an_input_may_be_a_map_or_what_it_becomes() -> None:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}], "logit_bias": {"5": 1}}
    given = input_of(ChatCompletion(), asked)
    assert given == ChatCompletionInput(messages=TURNS, logit_bias={5: 1.0})
    assert input_of(ChatCompletion(), given) is given


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"json_schema": deep(40)}, "json_schema"),
        ({"json_schema": {"a": b"bytes"}}, "json_schema"),
        ({"response_format": ResponseFormat("json_schema", schema=deep(40))}, "response_format.schema"),
        (
            {"response_format": ResponseFormat("json_schema", json_schema={"a": float("inf")})},
            "response_format.json_schema",
        ),
    ],
)
def test_what_no_type_looks_into_is_plain_and_flat(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(CommandError) as caught:
        input_of(ChatCompletion(), ChatCompletionInput(messages=TURNS, **fields))
    assert caught.value.details["field"] == name
