"""Generating the choices of one task: what the engine says of each becomes text, counts and an end.

It must never know how a run is begun, or what the text is for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from livethread.model import Sampling, Timings, TokenLogprob, Usage
from livethread.tasks import Choice
from livethread_server.engine.wire import Delta, Finished, Started
from livethread_server.logprobs import token_logprobs
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.runs import failure, together
from livethread_server.tasks.workshop import Outputs
from livethread_server.vocabulary import Vocabulary


class Choices:
    """All choices of one generation. ``room`` is how many tokens one may have at most."""

    def __init__(self, report: LiveTask, vocabulary: Vocabulary, prompt: int, room: int) -> None:
        self._report = report
        self._vocabulary = vocabulary
        self._prompt = prompt
        self._room = room
        self._total = 0
        self._drawn = 0
        self._reused: int | None = None

    async def follow(self, runs: Sequence[Outputs], samplings: Sequence[Sampling]) -> tuple[tuple[Choice, ...], Usage]:
        """The choices, once all of them have ended. `CommandError` where one fails."""
        self._total = self._room * len(runs)
        followed = [_Followed(self, index, sampling) for index, sampling in enumerate(samplings)]
        choices = await together([one.follow(outputs) for one, outputs in zip(followed, runs, strict=True)])
        return tuple(choices), self.usage(sum(choice.completion_tokens for choice in choices))

    def usage(self, completion: int) -> Usage:
        """The shared prompt once, and all tokens that were drawn."""
        return Usage(self._prompt, completion, self._reused or 0)

    def started(self, started: Started) -> None:
        """A choice has begun. The others wait for the one that reads the prompt, which has reused the least."""
        self._reused = started.reused if self._reused is None else min(self._reused, started.reused)
        self._report.begun()
        self._report.used(self.usage(self._drawn))

    def reading(self, done: int, total: int) -> None:
        """So much of the prompt was read."""
        if not self._drawn:
            self._report.progress("prompt", done, total)

    def said(self, choice: int, delta: Delta, logprobs: Sequence[TokenLogprob]) -> None:
        """More text of a choice."""
        self._drawn += len(delta.tokens)
        self._report.delta(choice, delta.text, delta.tokens, logprobs)
        self._report.used(self.usage(self._drawn))
        self._report.progress("generation", self._drawn, self._total)

    def logprobs(self, delta: Delta) -> tuple[TokenLogprob, ...]:
        """Those of a delta as they are told."""
        return token_logprobs(self._vocabulary, delta) if delta.logprobs else ()


class _Followed:
    """One choice while it is generated."""

    def __init__(self, all_of_them: Choices, index: int, sampling: Sampling) -> None:
        self._all = all_of_them
        self._index = index
        self._sampling = sampling
        self._asked_at = time.monotonic()
        self._started: Started | None = None
        self._pieces: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    async def follow(self, outputs: Outputs) -> Choice:
        async for output in outputs:
            if output.started is not None:
                self._started = output.started
                self._all.started(output.started)
            if output.progress is not None:
                progress = output.progress
                self._all.reading(progress.cached + progress.processed, progress.total)
            if output.delta is not None:
                self._hear(output.delta)
            if output.finished is not None:
                return self._end(output.finished)
        raise AssertionError("outputs end with one that is finished")

    def _hear(self, delta: Delta) -> None:
        logprobs = self._all.logprobs(delta)
        self._pieces.append(delta.text)
        self._tokens += delta.tokens
        self._logprobs += logprobs
        self._all.said(self._index, delta, logprobs)

    def _end(self, finished: Finished) -> Choice:
        if error := failure(finished):
            raise error
        assert self._sampling.seed is not None
        return Choice(
            index=self._index,
            content="".join(self._pieces),
            reason=finished.reason,
            seed=self._sampling.seed,
            completion_tokens=max(finished.completion, len(self._tokens)),
            tokens=tuple(self._tokens),
            logprobs=None if self._sampling.logprobs is None else tuple(self._logprobs),
            timings=self._timings(finished),
        )

    def _timings(self, finished: Finished) -> Timings:
        start = self._started.at if self._started else finished.at
        first = finished.at if finished.first_at is None else finished.first_at
        return Timings(
            queue_ms=_milliseconds(self._asked_at, start),
            prompt_ms=_milliseconds(start, first),
            first_token_ms=_milliseconds(self._asked_at, first),
            generate_ms=_milliseconds(first, finished.at),
        )


def _milliseconds(start: float, end: float) -> float:
    return round(max(0.0, end - start) * 1000, 3)
