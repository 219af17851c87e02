"""What one step decodes: every generating run's row, and as much of the waiting prompts as time allows.

Scheduling is by time, not by tokens: a step should take ``step_ms``, whatever the machine, the model and
the depth. What tokens cost is learned from the steps before. This module must never know llama.cpp,
clocks or runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

LEAST = 8
"""Tokens that a prompt gets in a step at least, so that it never starves."""
ALONE = 2.0
"""How many times ``step_ms`` a step may take while nobody generates: larger chunks are faster (FACTS B2)."""
TASKS = 4.0
"""How many times ``step_ms`` the prompts of a step may take while only tasks run, none of which waits for another."""
_DEPTH = 512
_NEWEST = 0.5


class Waiting(Struct, frozen=True):
    """A prompt with ``left`` tokens to come after ``depth`` in KV; ``served`` is the step it last got any. A task's
    is a ``side`` one.
    """

    sequence: int
    left: int
    depth: int
    served: int
    side: bool = False


class Chunk(Struct, frozen=True):
    """Ingest the next ``count`` prompt tokens of a sequence."""

    sequence: int
    count: int


class Costs:
    """What decoding took lately, in milliseconds: of rows by their number, of prompt tokens by their depth."""

    def __init__(self) -> None:
        self._rows: dict[int, float] = {}
        self._tokens: dict[int, float] = {}

    def saw_rows(self, rows: int, ms: float) -> None:
        """A call with one token each of ``rows`` sequences took ``ms``."""
        self._rows[rows] = _blend(self._rows.get(rows), ms)

    def saw_chunk(self, count: int, depth: int, ms: float) -> None:
        """A chunk of ``count`` prompt tokens behind ``depth`` took ``ms``; a tiny one teaches nothing."""
        if count < LEAST:
            return
        bucket = depth // _DEPTH
        self._tokens[bucket] = _blend(self._tokens.get(bucket), ms / count)

    def of_rows(self, rows: int) -> float:
        """Milliseconds that ``rows`` generating sequences will probably take."""
        if rows == 0 or not self._rows:
            return 0.0
        known = min(self._rows, key=lambda other: abs(other - rows))
        return self._rows[known] * max(1.0, rows / known)

    def of_token(self, depth: int) -> float:
        """Milliseconds that one prompt token behind ``depth`` will probably take."""
        if not self._tokens:
            return 0.0
        bucket = depth // _DEPTH
        return self._tokens[min(self._tokens, key=lambda other: abs(other - bucket))]


def plan(
    rows: int, waiting: Iterable[Waiting], costs: Costs, *, step_ms: float, longest: int, only_tasks: bool = False
) -> list[Chunk]:
    """The chunks to ingest beside ``rows`` generating sequences, none longer than ``longest``.

    Threads' prompts come before tasks', and of these who was served longest ago comes first; it gets what the rows
    leave of the step, at least `LEAST`, and what it does not need goes to the next. A chunk is never one token, nor
    leaves one token over (FACTS A9), unless the prompt has but one. Tasks' prompts make no step longer than
    ``step_ms`` where a thread's run is there. Where ``only_tasks`` run they take several times that, since rows are
    the cheaper the more there are; no single chunk does, because a thread's run may come at any moment.
    """
    budget = step_ms * TASKS if only_tasks else _left_by(rows, costs, step_ms)
    chunks: list[Chunk] = []
    spent = 0.0
    for prompt in sorted(waiting, key=lambda prompt: (prompt.side, prompt.served)):
        if prompt.side and not only_tasks:
            budget = min(budget, step_ms - spent)
        token_ms = costs.of_token(prompt.depth)
        fits = _fits(min(budget, step_ms * ALONE), token_ms, longest)
        if chunks and fits < LEAST:
            break
        count = _portion(prompt.left, max(fits, LEAST))
        chunks.append(Chunk(prompt.sequence, count))
        budget -= count * token_ms
        spent += count * token_ms
    return chunks


def _left_by(rows: int, costs: Costs, step_ms: float) -> float:
    return step_ms - costs.of_rows(rows) if rows else step_ms * ALONE


def _fits(budget: float, token_ms: float, longest: int) -> int:
    if token_ms <= 0:
        return LEAST
    return min(int(budget / token_ms), longest)


def _portion(left: int, fits: int) -> int:
    if left <= fits:
        return left
    return fits - 1 if left - fits == 1 else fits


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + _NEWEST * (new - old)
