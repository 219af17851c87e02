"""Turns a failed conversion into a sentence for the person who wrote the client.

The sentence names the field, what it must be, what it was, and so what to do. This module must never
decide whether a command is right: `msgspec` has done that when it asks here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from livethread.checks import foreign_words
from livethread.errors import CommandError, bad_request

SHOWN = 40
"""How many characters of a client's value a sentence repeats."""

_AT = re.compile(r" - at `(key` in `)?\$\.?([^`]*)`$")
_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")
_NAMED = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`")
_KIND = re.compile(r"Expected `([^`]*)`(?:, got|$)")
_PATTERN = re.compile(r" regex (.*)")
_LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=) (\d+)")
_BOUND = re.compile(r"Expected `\w+` (<=|>=|<|>) (\S+)")
_BOUND_WORDS = {"<=": "at most", ">=": "at least", "<": "below", ">": "above"}
_KIND_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
_ITEM_WORDS = {"str": "character", "array": "item", "object": "pair"}
_UNKNOWN = object()


class _Asked(msgspec.Struct, frozen=True):
    """What somebody should have sent: what to call it, and its type."""

    name: str
    type: Any

    def __str__(self) -> str:
        return self.name


def explain(name: str, kind: Any, plain: Any, error: msgspec.ValidationError) -> CommandError:
    """The ``bad_request`` about ``plain``, which should be a ``kind`` of this name and is not."""
    asked = _Asked(name, kind)
    text = str(error)
    at = _AT.search(text)
    path = at.group(2) if at else ""
    what = text[: at.start()] if at else text
    if at and at.group(1):
        field = path or "type"
        return bad_request(field, f"The keys of {_place(asked, path)} must be {_key_words(what)}. Send them so.")
    if named := _NAMED.match(what):
        return _explain_named(asked, path, named.group(1), named.group(2))
    wanted, given = _wanted(asked, path, what), _value_at(plain, path)
    if _LENGTH.match(what) and given is not _UNKNOWN:
        given = len(given)
    was = "" if given is _UNKNOWN else f", not {_shown(given)}"
    subject = f"Field '{path}' of {asked}" if path else f"{str(asked)[:1].upper()}{str(asked)[1:]}"
    return bad_request(path or "type", f"{subject} must {wanted}{was}.")


def _explain_named(kind: _Asked, path: str, how: str, field: str) -> CommandError:
    name = f"{path}.{field}" if path else field
    if how == "missing required":
        return bad_request(name, f"Field '{name}' of {kind} is missing. Add it.")
    name = f"{path}.{field[:64]}" if path else field[:64]
    known = ", ".join(_fields_at(kind, path))
    return bad_request(name, f"There is no field '{name}' in {kind}. Leave it out; known here: {known}.")


def _wanted(kind: _Asked, path: str, what: str) -> str:
    """What would be right, in words: the end of "Field … must"."""
    if pattern := _PATTERN.search(what):
        known = "[A-Za-z0-9_-]{1,64}" in pattern.group(1) and ":" not in pattern.group(1)
        return "be an id, 1 to 64 letters, digits, '-' or '_'" if known else f"match {pattern.group(1)}"
    if length := _LENGTH.match(what):
        unit, side, number = length.groups()
        return f"have {_BOUND_WORDS[side]} {number} {_ITEM_WORDS[unit]}{'s' if number != '1' else ''}"
    if bound := _BOUND.match(what):
        return f"be {_BOUND_WORDS[bound.group(1)]} {bound.group(2).removesuffix('.0')}"
    if allowed := _allowed_at(kind, path):
        return f"be {'one of ' if len(allowed) > 1 else ''}{', '.join(map(repr, allowed))}"
    if expected := _KIND.match(what):
        return "be " + " or ".join(_KIND_WORDS.get(one, one) for one in expected.group(1).split(" | "))
    return f"fit its type ({what})"


def _key_words(what: str) -> str:
    return "integers written as strings" if what.startswith("Expected `int") else "strings"


def _place(kind: _Asked, path: str) -> str:
    return f"field '{path}' of {kind}" if path else kind.name


def _shown(value: Any) -> str:
    """A client's value as a sentence repeats it: short, and nothing that could be half a megabyte."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "…")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value) if abs(value) < float("inf") else "a number that is not finite or out of range"
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    return foreign_words(value)


def _value_at(plain: Any, path: str) -> Any:
    """What the client sent at a path; `_UNKNOWN` where the path does not say which entry it means."""
    for step in _STEP.findall(path):
        try:
            plain = plain[int(step[1:-1])] if step[1:-1].isdecimal() else plain[step]
        except (LookupError, TypeError, ValueError):
            return _UNKNOWN
    return plain


# Walking the types, to know what would have been right


def _types_at(kind: _Asked, path: str) -> list[Any]:
    """The types that may stand at a path of a command, unions taken apart."""
    kinds: list[Any] = _parts(kind.type)
    for step in _STEP.findall(path):
        kinds = [found for one in kinds for found in _inside(one, step)]
    return kinds


def _inside(kind: Any, step: str) -> list[Any]:
    if _is_struct(kind):
        if step == kind.__struct_config__.tag_field:
            return [Literal[kind.__struct_config__.tag]]
        found = [info.type for info in msgspec.structs.fields(kind) if info.encode_name == step]
        return _parts(found[0]) if found else []
    inner = {tuple: 0, dict: 1}.get(get_origin(kind))
    return [] if inner is None else _parts(get_args(kind)[inner])


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _parts(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _parts(get_args(kind)[0])
    if isinstance(kind, type) or get_origin(kind) not in (Union, type(int | str)):
        return [kind]
    return [part for one in get_args(kind) for part in _parts(one)]


def _allowed_at(kind: _Asked, path: str) -> list[Any]:
    literals = [one for one in _types_at(kind, path) if get_origin(one) is Literal]
    return list(dict.fromkeys(value for one in literals for value in get_args(one)))


def _fields_at(kind: _Asked, path: str) -> list[str]:
    found = [msgspec.structs.fields(one) for one in _types_at(kind, path) if _is_struct(one)]
    return list(dict.fromkeys(info.encode_name for fields in found for info in fields))
