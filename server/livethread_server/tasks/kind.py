"""What a kind of task is, and what it may use: the surface that kinds from elsewhere are written to.

An entry point of the group ``livethread.tasks`` names a `TaskKind`. This module must never know how tasks are asked
for, stored or told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
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
    """The ``index``-th text's vector, or the vectors of its tokens: (vectors, dimensions); not normalised."""

    index: int
    rows: npt.NDArray[np.float32]


class Report(Protocol):
    """Where a task says how far it is; nothing here waits."""

    def progress(self, stage: Literal["prompt", "generation", "items"], done: int, total: int) -> None:
        """So far it is."""

    def used(self, usage: Usage) -> None:
        """So many tokens it has used up to now."""

    def delta(self, choice: int, text: str, tokens: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        """More text of a choice, for those who listen."""

    def result_grew(self, size: int) -> None:
        """The result will have so many bytes of JSON at least. `CommandError` ``too_large`` where that is too much."""


class Bench(Protocol):
    """The model, as a kind may use it, on behalf of one task. What a client asked wrong is `CommandError`; a task that
    is cancelled is cancelled as asyncio tasks are, and everything that the bench does for it ends within a step.
    """

    abilities: Abilities
    report: Report

    async def tokenize(self, text: str, *, special: bool, beginning: bool = False) -> tuple[int, ...]:
        """Token ids; ``special`` reads special tokens from the text, ``beginning`` puts the model's in front."""

    async def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens; ``special`` shows control ones. `CommandError` where one is outside the vocabulary."""

    async def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        """What each token is, control ones too. `CommandError` where one is outside the vocabulary."""

    async def chat(self, turns: Sequence[ChatTurn], *, go_on: bool) -> tuple[int, ...]:
        """A chat as the model's template renders it: up to the header of the assistant's next turn, or in the last
        turn to ``go_on`` with it. Contents cannot forge turns. `CommandError` where the template refuses it."""

    async def template(self, turns: Sequence[ChatTurn], *, go_on: bool, header: bool) -> str:
        """The same as text, without the ``header`` where it is not wanted."""

    async def turn_end(self) -> tuple[int, ...]:
        """The token that ends an assistant's turn, if the model has one: behind an answer that is scored it tells one
        that ends here from one that goes on."""

    async def infill(self, before: str | Sequence[int], after: str) -> tuple[int, ...]:
        """The tokens that ask for what is between two texts. `CommandError` where the model has none for that."""

    async def sampling(self, asked: Sampling, *, endless: bool = False) -> tuple[Sampling, Sampling]:
        """What holds, as it is told and as the engine takes it; ``endless`` goes on behind the end of a generation.
        `CommandError` where it cannot."""

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, choices: int = 1
    ) -> tuple[tuple[Choice, ...], Usage]:
        """Continue a prompt, ``choices`` times, as the engine takes ``sampling``; choice i is drawn with seed + i. Text
        is reported as it comes. Choices have their tokens."""

    async def score(
        self, prompt: tuple[int, ...], continuations: Sequence[tuple[int, ...]]
    ) -> tuple[Sequence[float], Usage]:
        """The log-likelihood of each continuation behind the prompt, which is read once."""

    def embed(self, texts: Sequence[tuple[int, ...]], pooling: Pooling | None = None) -> AsyncGenerator[Vector, None]:
        """Vectors of texts, as they come; close it to have the rest given up. None pools as the model was trained to,
        else by ``mean``."""

    async def embed_tokens(self, text: str) -> tuple[int, ...]:
        """A text to be embedded, with the tokens around it that the model wants."""

    async def pair(self, query: str, document: str) -> tuple[int, ...]:
        """A query and a document as a reranker takes them."""


class TaskKind(Protocol):
    """One kind of task. ``name`` is what clients ask for, ``Input`` a struct that forbids unknown fields."""

    name: str
    summary: str

    @property
    def Input(self) -> type[Struct]:  # noqa: N802 - it names a type
        """What a client sends."""

    @property
    def Result(self) -> type[Struct]:  # noqa: N802
        """What it gets."""

    def refusal(self, abilities: Abilities) -> str | None:
        """Why the loaded model cannot do this, in a sentence with the remedy; None where it can."""

    async def run(self, asked: Any, bench: Bench) -> Struct:
        """Carry one out; ``asked`` is an ``Input``. `CommandError` refuses it, or ends it as failed where it had
        already begun."""
