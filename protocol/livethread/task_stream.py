"""One stateless task, as its maker sees it: its text as it comes, and its result.

A `TaskStream` asks for its task when it is first used, and cancels it where nobody wants it any more. It goes on over
cuts of the connection. This module must never know sockets or frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from livethread.calls import mint
from livethread.errors import LivethreadError, ProtocolError, TaskStopped, TextReplaced
from livethread.messages import TaskCancel, TaskCreate, TaskDelta, TaskEvent, TaskGet, TaskUpdated
from livethread.tasks import RESULTS, Task, TaskCancelOk, TaskOk

if TYPE_CHECKING:
    from livethread.client import Client

OVER = ("done", "cancelled", "failed")
"""The states that a task stays in."""


class TaskStream:
    """Await `result`; or iterate over it once for the pieces of its first choice's text, or over `deltas` for those of
    all choices, and await `result` then.

    All of these raise `CommandError` where the task is refused or fails, `TaskStopped` where it is cancelled or its
    time is over, `ConnectionClosed` where the client does not come back, `TextReplaced` where the server came back and
    gives other text than before.
    """

    def __init__(self, client: Client, request: TaskCreate) -> None:
        self.task: Task | None = None
        self.accepted = False
        self._client = client
        self._request = replace(request, task=request.task or mint(), key=request.key or mint(), stream=True)
        self._asked: asyncio.Task[TaskOk] | None = None
        self._abandoned = False
        self._texts: dict[int, _Text] = {}
        self._waiting: deque[TaskDelta] = deque()
        self._error: LivethreadError | None = None
        self._something = asyncio.Event()

    @property
    def id(self) -> str:
        """The task's id, which is made up here."""
        assert self._request.task is not None
        return self._request.task

    async def __aiter__(self) -> AsyncIterator[str]:
        """The pieces of the first choice's text as they come."""
        async with aclosing(self.deltas()) as deltas:
            async for delta in deltas:
                if delta.choice == 0 and delta.text:
                    yield delta.text

    async def deltas(self) -> AsyncGenerator[TaskDelta, None]:
        """The pieces of all choices as they come."""
        if self._asked is not None:
            raise RuntimeError("A task is streamed only once. Ask the client for another one.")
        self._client.streams.add(self)
        try:
            await self._ask()
            while not self._over or self._waiting:
                if self._error is not None:
                    raise self._error
                if self._waiting:
                    yield self._waiting.popleft()
                else:
                    self._something.clear()
                    await self._something.wait()
        finally:
            self.abandon()
            self._client.streams.discard(self)
        self._raise_failure()

    async def result(self) -> Any:
        """The task's result once it is over: a struct of `livethread.tasks` where its kind is one of those that every
        server has, else plain values."""
        if self._asked is None:
            async with aclosing(self.deltas()) as deltas:
                async for _ in deltas:
                    pass
        self._raise_failure()
        if self.task is None or self.task.state != "done":
            raise LivethreadError(f"Nobody waits for task {self.id} any more. Ask the client for another one.")
        found = self.task.result
        if found is None:  # too large for an event; the server says how to get it
            found = (await self._client.call(TaskGet(id=0, task=self.id), TaskOk)).task.result
        kind = RESULTS.get(self.task.kind)
        return found if kind is None else msgspec.convert(found, kind, str_keys=True)

    async def cancel(self) -> TaskCancelOk:
        """End the task; whoever waits for it gets `TaskStopped`."""
        return await self._client.call(TaskCancel(id=0, task=self.id), TaskCancelOk)

    # For the client

    def returning(self) -> TaskCreate | None:
        """What to say in a new session; None where it was not accepted yet, or is over."""
        if not self.accepted or self._over:
            return None
        for text in self._texts.values():
            text.begin_again()
        return self._request

    def take(self, event: TaskEvent) -> None:
        """Something happened to the task. `ProtocolError` where it does not join on to what came before."""
        if isinstance(event, TaskUpdated):
            self.task = event.task
        elif isinstance(event, TaskDelta):
            self._hear(event)
        self._something.set()

    def fail(self, error: LivethreadError) -> None:
        """Nothing more comes."""
        self._error = self._error or error
        self._something.set()

    def abandon(self) -> None:
        """Nobody waits any more: see to it that the task is cancelled, unless it is over or was never asked for."""
        if self._asked is not None and not self._over and not self._abandoned:
            self._abandoned = True
            self._client.spawn(self._stop(self._asked))

    @property
    def _over(self) -> bool:
        return self.task is not None and self.task.state in OVER

    def _hear(self, delta: TaskDelta) -> None:
        text = self._texts.setdefault(delta.choice, _Text())
        try:
            fresh = text.hear(delta)
        except ValueError:
            self.fail(TextReplaced(self.id, text.now))
            return
        if fresh is not None:
            self._waiting.append(fresh)

    async def _ask(self) -> None:
        self._asked = self._client.spawn(self._client.call(self._request, TaskOk))
        try:
            ok = await asyncio.shield(self._asked)
        except LivethreadError:
            self._abandoned = True  # there is no task to cancel
            raise
        self.accepted = True
        self.task = self.task or ok.task

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error
        if self.task is not None and self.task.error is not None:
            raise self.task.error.as_exception()
        if self.task is not None and self.task.state == "cancelled":
            raise TaskStopped(self.id, self.task.reason or "cancelled")

    async def _stop(self, asked: asyncio.Task[TaskOk]) -> None:
        """Cancel the task once the server has accepted it."""
        try:
            await asked
            await self.cancel()
        except LivethreadError:
            return  # it was refused, or the connection is gone: nothing to cancel, or nobody to tell


class _Text:
    """One choice's text: what was given to the reader, so many tokens of it, and what this session has told."""

    def __init__(self) -> None:
        self.now = ""
        self._given = ""
        self._tokens = 0
        self._to = 0
        self._again = False

    def begin_again(self) -> None:
        """A new session tells everything from the beginning."""
        self.now, self._to, self._again = "", 0, True

    def hear(self, delta: TaskDelta) -> TaskDelta | None:
        """What of a delta is new: text, or tokens without one, with their logprobs. `ValueError` where the text is
        another than was given.
        """
        if delta.start != self._to:
            raise ProtocolError(f"A delta of a task begins at token {delta.start}, but {self._to} were told.")
        self._to = delta.to
        self.now += delta.text
        piece, known = self._piece(delta.text), self._tokens
        if not piece and delta.to <= known:
            return None
        self._tokens = max(known, delta.to)
        return _without(replace(delta, text=piece), min(known, delta.to))

    def _piece(self, text: str) -> str:
        """What is new of the text that came last."""
        if not self._again:
            self._given = self.now
            return text
        if self._given.startswith(self.now):
            return ""
        if not self.now.startswith(self._given):
            raise ValueError(self.now)
        piece, self._given, self._again = self.now[len(self._given) :], self.now, False
        return piece


def _without(delta: TaskDelta, known: int) -> TaskDelta:
    """A delta from the first token on that is not known."""
    if known <= delta.start:
        return delta
    logprobs = () if delta.logprobs is UNSET else delta.logprobs[known - delta.start :]
    return replace(delta, start=known, logprobs=logprobs or UNSET)
