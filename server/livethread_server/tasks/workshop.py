"""Where tasks meet the model: what it can do, and a bench of its own for each task.

It must never know what kinds of tasks there are, or the life of a task.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Protocol

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.wire import Output, Pooling, Ready, Submit
from livethread_server.tasks.kind import Abilities
from livethread_server.tasks.texts import Texts


class Outputs(Protocol):
    """What the engine says about one run, in order, ending with ``finished``."""

    @property
    def position(self) -> int:
        """Runs ahead of it in the engine's queue."""

    def __aiter__(self) -> AsyncIterator[Output]:
        """Iterate over the run's outputs."""


class TaskEngine(Protocol):
    """What tasks need of an engine."""

    @property
    def trouble(self) -> CommandError | None:
        """Why nothing can be generated now; None when it can."""

    @property
    def ready(self) -> Ready | None:
        """What it said of the model; None while it is not ready."""

    def submit(self, submit: Submit) -> Outputs:
        """Start or queue a run; `CommandError` where it cannot be taken."""

    def check_task(self, runs: int) -> None:
        """`CommandError` where one task can never have so many runs at once."""

    def cancel(self, run: str) -> None:
        """End a run, if it has not ended."""

    def embed(
        self, texts: Sequence[tuple[int, ...]], pooling: Pooling, tenant: str
    ) -> AsyncGenerator[tuple[int, Any], None]:
        """Each text's place and its rows, a numpy array; tenants take turns. `CommandError` before anything is waited
        for, or later.
        """


class Workshop:
    """The model of a server, for its tasks."""

    def __init__(self, model: str, texts: Texts, engine: TaskEngine) -> None:
        self.model = model
        self.texts = texts
        self.engine = engine
        self._known: Ready | None = None

    def abilities(self) -> Abilities:
        """What the model can do, as soon as that was ever known. `CommandError` why not, where nobody can tell yet."""
        self._known = ready = self.engine.ready or self._known
        if ready is None:
            raise self.engine.trouble or _loading()
        return Abilities(
            model=self.model,
            generates=ready.generates and ready.task_sequences > 0,
            infills=ready.generates and self.texts.vocabulary.infill is not None,
            ranks=ready.ranks,
            dimensions=ready.dimensions,
            context=self.texts.context,
            embed_tokens=ready.embed_tokens,
        )

    @property
    def pooling(self) -> Pooling:
        """How the model was trained to pool its vectors; ``mean`` where it does not say."""
        trained = "none" if self._known is None else self._known.pooling
        return "mean" if trained in ("none", "rank") else trained


def _loading() -> CommandError:
    return CommandError(ErrorCode.MODEL_LOADING, "The model is still being loaded. Try again in a moment.")
