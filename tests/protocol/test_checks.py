"""What a command must keep to beyond its types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from livethread.codec import to_command
from tests.commands import append, create, generate, refusal


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


def test_free_form_maps_nest_32_levels_deep() -> None:
    to_command(create(metadata=nested(32)))
    assert "32 levels" in refusal(create(metadata=nested(33))).message
    assert "32 levels" in refusal(generate(json_schema=nested(33))).message


def test_an_integer_in_metadata_fits_in_64_bits() -> None:
    to_command(create(metadata={"a": [(1 << 64) - 1, -(1 << 63)]}))
    for number in (1 << 64, -(1 << 63) - 1):
        assert "bits" in refusal(create(metadata={"a": number})).message


@pytest.mark.parametrize(
    ("wrap", "field"),
    [
        (lambda metadata: create(metadata=metadata), "metadata"),
        (lambda metadata: {"type": "thread.update", "id": 1, "thread": "t", "metadata": metadata}, "metadata"),
        (lambda metadata: append(metadata=metadata), "ops[0].message.metadata"),
        (
            lambda metadata: create(messages=[{"role": "user", "content": "", "metadata": metadata}]),
            "messages[0].metadata",
        ),
    ],
)
def test_metadata_has_4_kib_of_json(wrap: Callable[[Any], dict[str, Any]], field: str) -> None:
    room = 4096 - len('{"a":""}')
    to_command(wrap({"a": "x" * room}))
    error = refusal(wrap({"a": "x" * (room + 1)}))
    assert error.code == "too_large"
    assert error.details == {"field": field, "limit_bytes": 4096, "bytes": 4097}


@pytest.mark.parametrize(
    ("wrap", "field"),
    [
        (lambda content: append(content=content), "ops[0].message.content"),
        (lambda content: create(messages=[{"role": "user", "content": content}]), "messages[0].content"),
        (
            lambda content: {
                "type": "generate",
                "id": 1,
                "thread": "t",
                "ops": [{"op": "insert", "before": "m", "message": {"role": "user", "content": content}}],
            },
            "ops[0].message.content",
        ),
        (
            lambda content: {
                "type": "mutate",
                "id": 1,
                "thread": "t",
                "ops": [{"op": "edit", "message": "m", "content": content}],
            },
            "ops[0].content",
        ),
    ],
)
def test_a_content_has_256_kib_of_utf8(wrap: Callable[[str], dict[str, Any]], field: str) -> None:
    limit = 256 * 1024
    to_command(wrap("é" * (limit // 2)))
    error = refusal(wrap("é" * (limit // 2) + "x"))
    assert error.code == "too_large"
    assert error.details == {"field": field, "limit_bytes": limit, "bytes": limit + 1}


def test_a_grammar_and_a_schema_exclude_each_other() -> None:
    error = refusal(generate(grammar='root ::= "a"', json_schema={}))
    assert error.details == {"field": "sampling.grammar"}
