"""How likely texts are behind a prompt, by the model's own logits.

It must never know what the texts mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from livethread.model import Usage
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.runs import failure, together
from livethread_server.tasks.workshop import Outputs


class Scores:
    """The log-likelihoods of continuations, one forced run each."""

    def __init__(self, report: LiveTask, prompt: int) -> None:
        self._report = report
        self._prompt = prompt
        self._reused: int | None = None
        self._forced = 0
        self._done = 0

    async def follow(self, runs: Sequence[Outputs]) -> tuple[list[float], Usage]:
        """One for each run, once all have ended. `CommandError` where one fails."""
        return await together([self._score(outputs, len(runs)) for outputs in runs]), self._usage()

    def _usage(self) -> Usage:
        return Usage(self._prompt, self._forced, self._reused or 0)

    async def _score(self, outputs: Outputs, total: int) -> float:
        logprob = 0.0
        async for output in outputs:
            if output.started is not None:
                reused = output.started.reused
                self._reused = reused if self._reused is None else min(reused, self._reused)
                self._report.begun()
            if output.delta is not None:
                self._forced += len(output.delta.tokens)
                logprob += sum(one.logprob for one in output.delta.logprobs)
            if output.finished is not None and (error := failure(output.finished)):
                raise error
        self._done += 1
        self._report.used(self._usage())
        self._report.progress("items", self._done, total)
        return logprob
