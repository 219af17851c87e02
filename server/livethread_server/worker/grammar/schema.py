"""JSON Schema → GBNF, by llama_cpp's converter with three of its habits mended.

It writes a bounded repetition as groups inside groups, so that ``maxLength: 200`` nests 200 deep; GBNF can count
by itself. It leaves backslashes in constants as they are, which GBNF reads as escapes of its own. And it does not
follow a reference at the root, where recursive models have theirs. Part of the grammar process: a hostile schema
may cost all its memory and time.
"""

from __future__ import annotations

import json
from typing import Any

from llama_cpp import llama_grammar

from livethread_server.worker.grammar.gbnf import Refused


def to_gbnf(json_schema: str) -> str:
    """Convert a JSON Schema. `Refused` with what the converter has to say."""
    llama_grammar._build_repetition = repetition
    try:
        converter = _Converter(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
        converter.visit(converter.resolve_refs(_rooted(json.loads(json_schema)), "stdin"), "")
        gbnf: str = converter.format_grammar()
    except RecursionError:
        raise Refused("it nests too deep, or refers to itself without an end; make it flatter") from None
    except Exception as error:  # it meets bad schemas with whatever breaks first
        raise Refused(f"it cannot be converted ({type(error).__name__}: {str(error)[:200]})") from None
    return gbnf


def _rooted(schema: Any) -> Any:
    """Put a reference at the root one level down: the converter does not see the definitions beside it."""
    if not isinstance(schema, dict) or "$ref" not in schema:
        return schema
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    return {**rest, "anyOf": [{"$ref": schema["$ref"]}]}


def repetition(
    item: str,
    least: Any,
    most: Any,
    separator_rule: str | None = None,
    item_rule_is_literal: bool = False,
) -> str:
    """``least`` to ``most`` items in GBNF; the parameters are those of llama_cpp's ``_build_repetition``.

    Raises ValueError where they are no numbers of repetitions: they come out of the schema as they are.
    """
    _check_bounds(least, most)
    if most == 0:
        return ""
    if separator_rule is None:
        return f"{item}{_count(least, most)}"
    rest = _count(max(least - 1, 0), None if most is None else most - 1)
    some = f"{item} ({separator_rule} {item}){rest}" if most != 1 else item
    return some if least > 0 else f"({some})?"


def _check_bounds(least: Any, most: Any) -> None:
    for bound in (least, most):
        if bound is not None and (type(bound) is not int or bound < 0):
            raise ValueError(f"{bound!r} is not a number of repetitions")
    if most is not None and most < least:
        raise ValueError(f"at least {least} and at most {most} exclude each other")


def _count(least: int, most: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    return short.get((least, most), f"{{{least},{'' if most is None else most}}}")


class _Converter(llama_grammar.SchemaConverter):  # type: ignore[misc]
    """The library's converter, with literals that GBNF reads as they were meant."""

    def _format_literal(self, literal: str) -> str:
        """A GBNF literal from JSON text. Letters beyond ASCII stay themselves: models write them so."""
        text = json.dumps(json.loads(literal), ensure_ascii=False)
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
