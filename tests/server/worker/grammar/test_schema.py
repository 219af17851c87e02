"""JSON Schema → GBNF, where the library's converter is mended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livethread_server.worker.grammar.gbnf import Refused
from livethread_server.worker.grammar.schema import repetition, to_gbnf


@pytest.mark.parametrize(
    ("least", "most", "plain", "separated"),
    [
        (0, None, "x*", "(x (s x)*)?"),
        (1, None, "x+", "x (s x)*"),
        (3, None, "x{3,}", "x (s x){2,}"),
        (0, 0, "", ""),
        (0, 1, "x?", "(x)?"),
        (1, 1, "x{1,1}", "x"),
        (0, 2, "x{0,2}", "(x (s x)?)?"),
        (2, 5, "x{2,5}", "x (s x){1,4}"),
        (5, 5, "x{5,5}", "x (s x){4,4}"),
    ],
)
def test_repetitions_are_counted_not_nested(least: int, most: int | None, plain: str, separated: str) -> None:
    assert repetition("x", least, most) == plain
    assert repetition("x", least, most, "s") == separated


@pytest.mark.parametrize(
    ("least", "most"), [(-1, None), (1.0, None), ("1", None), (True, None), (0, -1), (3, 2), (0, "x")]
)
def test_what_is_no_number_of_repetitions_is_refused(least: Any, most: Any) -> None:
    with pytest.raises(ValueError, match=r"not a number of repetitions|exclude each other"):
        repetition("x", least, most)


@pytest.mark.parametrize(
    ("constant", "literal"),
    [
        ("plain", r'"\"plain\""'),
        ('say "é"', r'"\"say \\\"é\\\"\""'),
        ("back\\slash\n", r'"\"back\\\\slash\\n\""'),
        ("\0", r'"\"\\u0000\""'),
        (1.5, '"1.5"'),
        (None, '"null"'),
    ],
)
def test_constants_are_written_as_json_writes_them(constant: object, literal: str) -> None:
    assert f"root ::= {literal}" in to_gbnf(json.dumps({"const": constant}))


def test_names_of_properties_are_literals_too() -> None:
    assert r'"\"a\\\"b\""' in to_gbnf('{"type": "object", "properties": {"a\\"b": {"type": "null"}}}')


@pytest.mark.parametrize("schema", ["[]", "3", "{", '{"properties": 3}', '{"$ref": 5}', '{"oneOf": {}}'])
def test_whatever_breaks_the_converter_is_a_refusal(schema: str) -> None:
    with pytest.raises(Refused, match="cannot be converted"):
        to_gbnf(schema)


def test_a_model_that_refers_to_itself_is_converted() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    gbnf = to_gbnf(json.dumps({"$defs": {"Node": node}, "$ref": "#/$defs/Node"}))
    assert "root ::= alternative-0" in gbnf
    assert "alternative-0 ::= Node" in gbnf
    assert "Node-next-0 ::= Node" in gbnf


def test_a_schema_that_nests_too_deep_is_a_refusal() -> None:
    with pytest.raises(Refused, match="nests too deep"):
        to_gbnf('{"anyOf":[' * 900 + "{}" + "]}" * 900)
