"""A real engine's loop that is stepped by hand."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from livethread.model import Sampling
from livethread_server.engine.wire import (
    AskStats,
    Configure,
    Embedded,
    EmbedEnded,
    Moved,
    Output,
    Settled,
    Stats,
    Step,
    Submit,
    is_side,
    merged,
)
from livethread_server.worker.embedder import Embedder
from livethread_server.worker.llama import Context, VectorContext
from livethread_server.worker.loop import Command, Loop, Told
from livethread_server.worker.scheduler import Costs
from livethread_server.worker.tiers import Tiers


def words(seed: int, count: int = 50) -> tuple[int, ...]:
    """A prompt that no other seed's begins as."""
    return tuple((seed * 131 + 17 * index * index + 400) % 40000 for index in range(count))


class Listed:
    """An inbox of commands in a list; never waits long."""

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()

    def take(self, seconds: float | None) -> list[tuple[float, Command]] | None:
        if not self.commands and seconds != 0:
            time.sleep(0.001)
        taken = [(0.0, command) for command in self.commands]
        self.commands.clear()
        return taken


class Driven:
    """A loop that is stepped by hand; keeps what it said, merged by run."""

    def __init__(self, context: Context, costs: Costs, configure: Configure) -> None:
        self.inbox = Listed()
        self.said: dict[str, Output] = {}
        self.moved: list[Moved] = []
        self.answers: dict[int, Settled | Stats] = {}
        self.progress: dict[str, int] = {}
        self.steps = 0
        self.tiers = Tiers(context, configure)
        self.vectors: dict[int, list[Embedded]] = {}
        self.ends: dict[int, EmbedEnded] = {}
        self.embedder = Embedder(
            context.model,
            lambda ranks: VectorContext(context.model, length=context.length, ranks=ranks, threads=2),
            length=context.length,
            token_ms=costs.of_token(0),
        )
        self.loop = Loop(context, costs, self.inbox, self._hear, self.tiers, self.embedder, step_ms=100)
        self.context = context

    def _hear(self, told: Told) -> None:
        match told:
            case Embedded():
                self.vectors.setdefault(told.ask, []).append(told)
            case EmbedEnded():
                self.ends[told.ask] = told
            case Settled() | Stats():
                self.answers[told.ask] = told
            case Step():
                self._hear_step(told)

    def _hear_step(self, told: Step) -> None:
        self.steps += 1
        self.moved += told.moved
        for output in told.outputs:
            self.progress[output.run] = self.progress.get(output.run, 0) + bool(output.progress)
            before = self.said.get(output.run)
            self.said[output.run] = merged(before, output) if before else output

    def step(self, *commands: Command) -> None:
        self.inbox.commands.extend(commands)
        self.loop.listen()
        self.loop.step()

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(5000):
            if true():
                return
            self.step()
        raise AssertionError(f"It did not come true within 5,000 steps: {self.moved}")

    def submit(self, run: str, tokens: tuple[int, ...], thread: str = "", **fields: Any) -> None:
        tenant, shared = fields.pop("tenant", "x"), fields.pop("shared", 0)
        generated, said = fields.pop("generated", ()), fields.pop("said", 0)
        forced = fields.pop("forced", ())
        sampling = Sampling(**({"temperature": 0.0, "max_tokens": 12} | fields))
        self.inbox.commands.append(
            Submit(
                run=run,
                thread=thread or run,
                tenant=tenant,
                tokens=tokens,
                sampling=sampling,
                shared=shared,
                generated=generated,
                said=said,
                side=is_side(thread or run),
                forced=forced,
            )
        )

    def finish(self, *runs: str) -> list[Output]:
        self.until(lambda: all(run in self.said and self.said[run].finished for run in runs))
        return [self.said[run] for run in runs]

    def ask(self, run: str, tokens: tuple[int, ...], thread: str = "", **fields: Any) -> Output:
        self.submit(run, tokens, thread, **fields)
        (output,) = self.finish(run)
        return output

    def answer(self, ask: int) -> Settled | Stats:
        self.until(lambda: ask in self.answers)
        return self.answers[ask]

    def stats(self) -> dict[str, Any]:
        ask = 1000 + len(self.answers)
        self.step(AskStats(ask))
        answer = self.answer(ask)
        assert isinstance(answer, Stats)
        return answer.body


def tokens_of(output: Output) -> tuple[int, ...]:
    """What a run said."""
    return output.delta.tokens if output.delta else ()


def reused(output: Output) -> int:
    """How many tokens of its prompt were reused."""
    assert output.started is not None
    return output.started.reused


def sources(output: Output) -> tuple[int, int, int]:
    """How many of them were live, in RAM, on disk."""
    assert output.started is not None
    assert output.started.live + output.started.ram + output.started.disk == output.started.reused
    return output.started.live, output.started.ram, output.started.disk
