"""The model on behalf of one task: what a kind asks of its `Bench`, over the vocabulary, the template and the engine.

It must never know what kinds there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec

from livethread.errors import CommandError
from livethread.model import Sampling, Usage
from livethread.tasks import ChatTurn, Choice
from livethread_server.tasks.choices import Choices
from livethread_server.tasks.kind import Pooling, Report, Vector
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.runs import TaskRuns, position_of
from livethread_server.tasks.scoring import Scores
from livethread_server.tasks.workshop import Workshop

T = TypeVar("T")

SEEDS = (1 << 32) - 1
"""How many seeds there are: llama.h's LLAMA_DEFAULT_SEED, 2³²−1, means "random"."""
NEVER = -1000.0
"""What is added to the logits of the ends of generation where they are not wanted. It is finite, so that a grammar
that allows nothing else still ends."""


class ModelBench:
    """The `Bench` of one task. Whatever it began ends with the task."""

    def __init__(self, shop: Workshop, task: LiveTask) -> None:
        self.abilities = shop.abilities()
        self.report: Report = task
        self._texts = shop.texts
        self._engine = shop.engine
        self._shop = shop
        self._task = task

    async def tokenize(self, text: str, *, special: bool, beginning: bool = False) -> tuple[int, ...]:
        return await self._texts.tokens(text, special=special, beginning=beginning)

    async def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        return await self._texts.text(tokens, special=special)

    async def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        return await self._texts.pieces(tokens)

    async def chat(self, turns: Sequence[ChatTurn], *, go_on: bool) -> tuple[int, ...]:
        return await self._texts.chat(turns, go_on=go_on)

    async def template(self, turns: Sequence[ChatTurn], *, go_on: bool, header: bool) -> str:
        return await self._texts.rendered(turns, go_on=go_on, header=header)

    async def turn_end(self) -> tuple[int, ...]:
        return await self._texts.turn_end()

    async def infill(self, before: str | Sequence[int], after: str) -> tuple[int, ...]:
        return await self._texts.infill(before, after)

    async def sampling(self, asked: Sampling, *, endless: bool = False) -> tuple[Sampling, Sampling]:
        try:
            told, proved = await self._texts.sampling(asked)
        except CommandError as error:
            raise renamed(error) from None
        if endless:
            never = dict.fromkeys(self._texts.vocabulary.ends, NEVER)
            proved = msgspec.structs.replace(proved, logit_bias={**(proved.logit_bias or {}), **never})
        return told, proved

    async def generate(
        self, prompt: tuple[int, ...], sampling: Sampling, *, choices: int = 1
    ) -> tuple[tuple[Choice, ...], Usage]:
        self._texts.check_prompt(prompt)
        self._engine.check_task(choices)
        seed = sampling.seed or 0
        samplings = [msgspec.structs.replace(sampling, seed=(seed + index) % SEEDS) for index in range(choices)]
        left = self._texts.context - len(prompt)
        follower = Choices(self._task, self._texts.vocabulary, len(prompt), min(left, sampling.max_tokens or left))
        runs = TaskRuns(self._engine, self._task.owner)
        try:
            outputs = [runs.submit(prompt, one) for one in samplings]
            self._task.waiting(position_of(outputs))
            return await follower.follow(outputs, samplings)
        finally:
            runs.end()

    async def score(
        self, prompt: tuple[int, ...], continuations: Sequence[tuple[int, ...]]
    ) -> tuple[Sequence[float], Usage]:
        longest = max(map(len, continuations), default=0)
        self._texts.check_prompt(prompt, longest)
        self._engine.check_task(len(continuations))
        runs = TaskRuns(self._engine, self._task.owner)
        try:
            outputs = [runs.submit(prompt, FORCED, tokens) for tokens in continuations]
            self._task.waiting(position_of(outputs))
            return await Scores(self._task, len(prompt)).follow(outputs)
        finally:
            runs.end()

    async def embed(
        self, texts: Sequence[tuple[int, ...]], pooling: Pooling | None = None
    ) -> AsyncGenerator[Vector, None]:
        self._texts.check_embedded(texts, self.abilities.embed_tokens)
        tokens = 0
        async with aclosing(self._engine.embed(texts, pooling or self._shop.pooling, self._task.owner)) as vectors:
            async for done, (index, rows) in numbered(vectors, begun=self._task.begun):
                tokens += len(texts[index])
                self._task.used(Usage(tokens, 0, 0))
                self._task.progress("items", done, len(texts))
                yield Vector(index, rows)

    async def embed_tokens(self, text: str) -> tuple[int, ...]:
        return await self._texts.embedded(text)

    async def pair(self, query: str, document: str) -> tuple[int, ...]:
        return await self._texts.pair(query, document)


async def numbered(items: AsyncIterator[T], begun: Callable[[], None]) -> AsyncIterator[tuple[int, T]]:
    """The items, counted from 1. Those who give them refuse before they wait; behind that ``begun`` is called."""
    first = asyncio.ensure_future(anext(items, None))
    try:
        await asyncio.sleep(0)
        if not first.done():
            begun()
        item, number = await first, 1
    finally:
        first.cancel()
    while item is not None:
        yield number, item
        item, number = await anext(items, None), number + 1


def renamed(error: CommandError) -> CommandError:
    """What is wrong with sampling, as said of an input that has its fields itself."""
    field = str(error.details.get("field"))
    name = field.removeprefix("sampling.")
    if name == field:
        return error
    return CommandError(
        error.code, error.message.replace(f"'{field}'", f"'{name}'"), **(error.details | {"field": name})
    )


FORCED = Sampling(temperature=0.0, logprobs=0, seed=0)
"""How tokens are scored that are not drawn."""
