"""What a kind of task is, and what it may use: the surface that kinds from elsewhere are written to.

An entry point of the group ``livethread.tasks`` names a `TaskKind`. This module must never know how tasks are asked
for, stored or told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from livethread.model import Sampling, TokenLogprob, Usage
from livethread.tasks import ChatTurn, Choice

Pooling = Literal["none", "mean", "cls", "last", "rank"]


class Abilities(Struct, frozen=True, kw_only=True):
    """What the loaded model can do. ``context`` is in tokens, ``dimensions`` of its vectors (0: none)."""

    model: str
    generates: bool
    infills: bool
    ranks: bool
    dimensions: int
    context: int
    embed_tokens: int


class Vector(Struct, frozen=True):
    """The ``index``-th text's vector, or the vectors of its tokens; not normalised."""

    index: int
    rows: tuple[tuple[float, ...], ...]


class Report(Protocol):
    """Where a task says how far it is; nothing here waits."""

    def progress(self, stage: Literal["prompt", "generation", "items"], done: int, total: int) -> None:
        """So far it is."""

    def used(self, usage: Usage) -> None:
        """So many tokens it has used up to now."""

    def delta(self, choice: int, text: str, tokens: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        """More text of a choice, for those who listen."""


class Bench(Protocol):
    """The model, as a kind may use it, on behalf of one task. What a client asked wrong is `CommandError`; a task that
    is cancelled is cancelled as asyncio tasks are, and everything that the bench does for it ends within a step.
    """

    abilities: Abilities
    report: Report

    async def tokenize(self, text: str, *, special: bool, beginning: bool = False) -> tuple[int, ...]:
        """Token ids; ``special`` reads special tokens from the text, ``beginning`` puts the model's in front."""

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens. `CommandError` where one is outside the vocabulary."""

    async def chat(self, turns: Sequence[ChatTurn], *, go_on: bool, header: bool = True) -> tuple[int, ...]:
        """A chat as the model's template renders it: up to the ``header`` of the assistant's next turn, or in the
        last turn to ``go_on`` with it."""

    async def sampling(self, asked: Sampling) -> tuple[Sampling, Sampling]:
        """What holds, as it is told and as the engine takes it; `CommandError` where it cannot."""

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, choices: int = 1
    ) -> tuple[tuple[Choice, ...], Usage]:
        """Continue a prompt, ``choices`` times, as the engine takes ``sampling``. Text is reported as it comes."""

    async def score(self, prompt: tuple[int, ...], continuations: Sequence[tuple[int, ...]]) -> Sequence[float]:
        """The log-likelihood of each continuation behind the prompt, which is read once."""

    def embed(self, texts: Sequence[tuple[int, ...]], pooling: Pooling) -> AsyncIterator[Vector]:
        """Vectors of texts, in order."""


class TaskKind(Protocol):
    """One kind of task. ``name`` is what clients ask for, ``Input`` a struct that forbids unknown fields."""

    name: str
    summary: str
    Input: type[Struct]
    Result: type[Struct]

    def refusal(self, abilities: Abilities) -> str | None:
        """Why the loaded model cannot do this, in a sentence with the remedy; None where it can."""

    async def run(self, asked: Any, bench: Bench) -> Struct:
        """Carry one out; ``asked`` is an ``Input``. `CommandError` ends it as failed."""


def input_of(kind: TaskKind, plain: Any) -> Struct:
    """An untyped input as the kind's. Raises `msgspec.ValidationError`."""
    return msgspec.convert(plain, kind.Input)
