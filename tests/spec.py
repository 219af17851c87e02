"""Reads the examples out of the protocol's description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

SPEC = Path(__file__).parents[1] / "protocol" / "SPEC.md"
ANY = "…"
EPHEMERAL = ("run.delta", "run.progress", "thread.residency", "task.delta", "task.updated")


class Block(Struct, frozen=True):
    """A fenced block: the word behind the fence, the rest of that line, and what is inside."""

    kind: str
    about: str
    body: str


class Step(Struct, frozen=True):
    """One line of a conversation: who speaks, and the frame; None for any number of frames."""

    client: bool
    frame: Any


def blocks(kind: str) -> list[Block]:
    """All blocks of a kind, in order."""
    found = re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", SPEC.read_text(), re.MULTILINE)
    return [Block(*block) for block in found if block[0] == kind]


def conversations() -> list[list[Step]]:
    """All conversations, in order."""
    return [_steps(block.body) for block in blocks("conversation")]


def matches(expected: Any, got: Any) -> bool:
    """Whether ``got`` is what an example shows: ``"…"`` and ``"$name"`` are any value, ``"…"`` as a key any other
    fields."""
    if expected == ANY or _is_name(expected):
        return True
    if isinstance(expected, dict) and isinstance(got, dict):
        named = expected.keys() - {ANY}
        fits = named <= got.keys() if ANY in expected else named == got.keys()
        return fits and all(matches(expected[name], got[name]) for name in named)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(matches, expected, got))
    return isinstance(expected, bool) is isinstance(got, bool) and bool(expected == got)


def named(expected: Any, got: Any) -> dict[str, Any]:
    """The values that stand where an example, which ``got`` matches, has names such as ``"$epoch"``."""
    if isinstance(expected, dict):
        return _all(named(value, got[key]) for key, value in expected.items() if key != ANY)
    if isinstance(expected, list):
        return _all(map(named, expected, got))
    return {expected: got} if _is_name(expected) else {}


def filled(value: Any, names: dict[str, Any]) -> Any:
    """An example with the values of the names that are known."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return names.get(value, value) if _is_name(value) else value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("$")


def _all(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for names in found for name, value in names.items()}


def _steps(body: str) -> list[Step]:
    lines = re.sub(r"\n +", " ", body.strip()).split("\n")
    return [Step(line[0] == ">", None if line[2:] == ANY else json.loads(line[2:])) for line in lines]
