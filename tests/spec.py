"""Reads the examples out of the protocol's description."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from msgspec import Struct

SPEC = Path(__file__).parents[1] / "protocol" / "SPEC.md"
ANY = "…"
EPHEMERAL = ("run.delta", "run.progress", "thread.residency")


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
    """Whether ``got`` is what an example shows: ``"…"`` is any value, and as a key any other fields."""
    if expected == ANY:
        return True
    if isinstance(expected, dict) and isinstance(got, dict):
        named = expected.keys() - {ANY}
        fits = named <= got.keys() if ANY in expected else named == got.keys()
        return fits and all(matches(expected[name], got[name]) for name in named)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(matches, expected, got))
    return isinstance(expected, bool) is isinstance(got, bool) and bool(expected == got)


def _steps(body: str) -> list[Step]:
    lines = re.sub(r"\n +", " ", body.strip()).split("\n")
    return [Step(line[0] == ">", None if line[2:] == ANY else json.loads(line[2:])) for line in lines]
