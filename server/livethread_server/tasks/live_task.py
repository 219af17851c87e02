"""One task, from the moment that it is asked for to the moment that it is forgotten.

It must never know how it is carried out, or who is told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from livethread.errors import CommandError
from livethread.model import TokenLogprob, Usage
from livethread.replies import ErrorBody
from livethread.tasks import Task, TaskProgress, TaskReason, TaskState
from livethread_server.stamps import at, now
from livethread_server.tasks.kind import TaskKind
from livethread_server.tasks.measuring import result_too_large
from livethread_server.tasks.said import Listener, Said, Speech


class LiveTask:
    """A task and what it has come to. It is its own `Report`: a kind says here how far it is.

    ``number`` counts tasks, ``digest`` is of what was asked. ``work`` carries it out. ``refused`` is why it was not
    taken: then it never existed. ``result_bytes`` are those of its result as JSON, ``most_bytes`` as many as it may
    have, ``finished_at`` is by the monotonic clock.
    """

    def __init__(self, task: Task, kind: TaskKind, number: int, digest: str, key: str | None) -> None:
        self.kind = kind
        self.number = number
        self.digest = digest
        self.key = key
        self.work: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.refused: CommandError | None = None
        self.result_bytes = 0
        self.most_bytes: int | None = None
        self._task = task
        self._result: Struct | None = None
        self._position: Callable[[], int] = _nobody_ahead
        self._progress: TaskProgress | None = None
        self._usage: Usage | None = None
        self._speech = Speech()
        self._taken = asyncio.Event()
        self._over = asyncio.Event()
        self.changes = 0
        self.finished_at = 0.0

    @property
    def id(self) -> str:
        """The task's id, its principal's own."""
        return self._task.id

    @property
    def owner(self) -> str:
        """The id of the principal who made it."""
        return self._task.by.id

    @property
    def state(self) -> TaskState:
        """How it is."""
        return self._task.state

    @property
    def over(self) -> bool:
        """Whether nothing happens with it any more."""
        return self._over.is_set()

    @property
    def taken(self) -> bool:
        """Whether it was accepted: what is wrong with it from now on is its failure, not a refusal."""
        return self._taken.is_set()

    @property
    def position(self) -> int:
        """Runs ahead of it in the engine's queue, while it is queued."""
        return self._position() if self._task.state == "queued" else 0

    def shown(self, *, result: bool = True) -> Task:
        """The task as it is now."""
        return msgspec.structs.replace(
            self._task,
            position=self.position,
            progress=self._progress,
            usage=self._usage,
            result=self._result if result else None,
        )

    async def settled(self) -> None:
        """Return once it was taken, or is over."""
        await self._taken.wait()

    async def ended(self) -> Task:
        """The task once it is over."""
        await self._over.wait()
        return self.shown()

    async def ended_within(self, milliseconds: int) -> None:
        """Return once it is over, or after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1000):
                await self._over.wait()

    async def news(self) -> AsyncIterator[Said]:
        """The text of each choice from its beginning, as it comes; for a slow reader more of it at once. Ends with the
        task."""
        listener = self.listen()
        try:
            while True:
                over = self.over
                for said in listener.take():
                    yield said
                if over:
                    return
                await listener.something.wait()
        finally:
            listener.leave()

    def listen(self) -> Listener:
        """A listener of its own, who also looks again when anything else changes; `Listener.leave` it at the end."""
        return self._speech.listen()

    # What a kind and its bench say

    def progress(self, stage: Literal["prompt", "generation", "items"], done: int, total: int) -> None:
        """So far it is."""
        self.begun()
        self._progress = TaskProgress(stage, done, total)
        self._change()

    def used(self, usage: Usage) -> None:
        """So many tokens it has used up to now."""
        self._usage = usage

    def delta(self, choice: int, text: str, tokens: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        """More text of a choice."""
        self._speech.add(choice, text, tokens, logprobs)

    def result_grew(self, size: int) -> None:
        """Its result will have so many bytes at least. `CommandError` ``too_large`` where that is too much."""
        if self.most_bytes is not None and size > self.most_bytes:
            raise result_too_large(size, self.most_bytes)

    def waiting(self, position: Callable[[], int]) -> None:
        """The engine has it in its queue, at a position that can be asked for."""
        self._position = position
        self.take()

    def begun(self) -> None:
        """It waits for nothing any more."""
        if self._task.state == "queued":
            self._task = msgspec.structs.replace(self._task, state="running", started_at=now())
            self.take()
            self._change()

    def take(self) -> None:
        """It is accepted."""
        self._taken.set()

    # Its end

    def end(
        self,
        state: TaskState,
        *,
        result: Struct | None = None,
        reason: TaskReason | None = None,
        error: ErrorBody | None = None,
        keep: float = 0.0,
    ) -> None:
        """It is over, and stays for ``keep`` seconds."""
        moment = time.time()
        self.finished_at = time.monotonic()
        self._result = result
        self._task = msgspec.structs.replace(
            self._task,
            state=state,
            reason=reason,
            error=error,
            started_at=self._task.started_at or (at(moment) if state == "done" else None),
            finished_at=at(moment),
            expires_at=at(moment + keep),
        )
        self._position = _nobody_ahead
        self._taken.set()
        self._over.set()
        self._change()

    def refuse(self, error: CommandError) -> None:
        """It is not taken."""
        self.refused = error
        self._taken.set()
        self._over.set()
        self._change()

    @property
    def bytes(self) -> int:
        """About how much memory its result and what it said take."""
        return self.result_bytes + self._speech.bytes

    def _change(self) -> None:
        self.changes += 1
        self._speech.wake()


def _nobody_ahead() -> int:
    return 0
