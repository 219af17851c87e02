"""What the server process and the grammar process say to each other: a verdict for each question, in any order.

This module must never know how grammars are tried.
"""

from __future__ import annotations

from msgspec import Struct

from livethread_server.engine.packing import Unpacker

AT_ONCE = 4
"""How many grammars are tried at the same time; more wait."""


class GrammarQuestion(Struct, frozen=True, tag="question"):
    """May the engine use this grammar? GBNF or a JSON Schema (as JSON); the other one is None."""

    number: int
    grammar: str | None
    json_schema: str | None


class GrammarVerdict(Struct, frozen=True, tag="verdict"):
    """The proved GBNF of the question with this number, or why it is refused, without a full stop.

    ``final`` tells whether the same question would be answered the same.
    """

    number: int
    gbnf: str | None = None
    refusal: str | None = None
    final: bool = True


def unpack_questions() -> Unpacker:
    """What the grammar process reads with."""
    return Unpacker(GrammarQuestion)


def unpack_verdicts() -> Unpacker:
    """What the server process reads the grammar process with."""
    return Unpacker(GrammarVerdict)
