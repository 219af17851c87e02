"""The life of all tasks: they are taken, carried out, end once, and stay for a while.

It must never know what kinds there are, how a model works, or who is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.model import Principal
from livethread.replies import ErrorBody
from livethread.tasks import Task, TaskCancelOk, TaskListOk, TaskReason, TaskState
from livethread_server.logs import bound
from livethread_server.stamps import new_id, now
from livethread_server.tasks.asking import Asking
from livethread_server.tasks.book import Book
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.kept import Kept
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kind_list import Kinds
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.measuring import json_size

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0
"""How long a task that neither waits for the engine nor says how far it is may be refused still."""

STOP_SECONDS = 5.0
"""How long is waited for tasks that were cancelled as the server stops."""

Benches = Callable[[LiveTask], Bench]
Ended = Callable[[Task], None]


def _ignore(task: Task) -> None:
    """Nobody asked to be told."""


class Tasks:
    """All tasks of a server. ``bench`` makes what a task may use, ``abilities`` says what the model can do, or raises
    why nobody can tell. Assign ``on_ended`` to hear of each that is over, without its result.
    """

    def __init__(
        self,
        kinds: Kinds,
        bench: Benches,
        abilities: Callable[[], Abilities],
        bounds: TaskBounds,
        *,
        model: str,
        instance: str,
    ) -> None:
        self.kinds = kinds
        self.instance = instance
        self.abilities = abilities
        self.on_ended: Ended = _ignore
        self._bench = bench
        self.bounds = bounds
        self._model = model
        self._book = Book()
        self._unfinished: Counter[str] = Counter()
        self._kept = Kept(bounds, self._book.forget)
        self._made = 0
        self._works: set[asyncio.Task[None]] = set()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def create(
        self,
        principal: Principal,
        kind: str,
        asked: Struct | dict[str, Any],
        *,
        task: str | None = None,
        timeout_ms: int | None = None,
        key: str | None = None,
    ) -> LiveTask:
        """Begin a task; it is there from the first moment, and this returns once it was taken: what it needs of the
        engine is queued there, or it is over. The same ``key``, or ``task``, with the same content is the same task.

        `CommandError` where it is not taken: it was asked wrongly, cannot be done by this model, or now.
        """
        asking = Asking(self.kinds, principal, kind, asked, task=task, timeout_ms=timeout_ms, key=key)
        live = self._book.same(asking) or self._begin(asking)
        await live.settled()
        if live.refused is not None:
            raise live.refused
        return live

    async def get(self, principal: Principal, task: str) -> LiveTask:
        """A task of the principal's. `CommandError` ``not_found``, whoever else has one of that id."""
        live = self._book.find(principal.id, task)
        await live.settled()
        return self._book.find(principal.id, task) if live.refused else live

    def list(
        self,
        principal: Principal,
        *,
        kind: str | None = None,
        state: TaskState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskListOk:
        """The principal's tasks, the newest first. `CommandError` ``bad_request`` about a cursor."""
        page, more = self._book.page(principal.id, kind=kind, state=state, limit=limit, cursor=cursor)
        return TaskListOk(tuple(live.shown(result=False) for live in page), more)

    def cancel(self, principal: Principal, task: str) -> TaskCancelOk:
        """End a task, if it has not ended. `CommandError` ``not_found``."""
        live = self._book.find(principal.id, task)
        self.end(live, "cancelled")
        return TaskCancelOk(live.id, live.state)

    def end(self, live: LiveTask, reason: TaskReason) -> None:
        """End a task without its result, if it has not ended: at once, and what is done for it within a step."""
        if not live.over:
            self._finish(live, "cancelled", reason=reason)
            if live.work is not None:
                live.work.cancel()

    def by_state(self) -> dict[str, dict[str, int]]:
        """How many there are, by kind and state."""
        return self._book.by_state(self.kinds.names)

    # The server goes away

    def close(self) -> None:
        """Take no task any more; those there are go on."""
        self._closing = True

    async def idle(self) -> None:
        """Return when no task is unfinished."""
        await self._idle.wait()

    async def stop(self) -> None:
        """End all tasks, and wait until nothing is done for them any more."""
        self.close()
        for live in self._book:
            self.end(live, "cancelled")
        if self._works:
            _, stubborn = await asyncio.wait(self._works, timeout=STOP_SECONDS)
            if stubborn:
                log.warning(
                    "%d tasks do not end when they are cancelled; nobody waits for them any more", len(stubborn)
                )
        self._kept.close()

    # Inside

    def _begin(self, asking: Asking) -> LiveTask:
        self._check(asking)
        self._made += 1
        task = Task(
            id=asking.task or new_id("k"),
            kind=asking.kind.name,
            state="queued",
            model=self._model,
            instance=self.instance,
            by=asking.principal,
            timeout_ms=asking.timeout_ms,
            created_at=now(),
        )
        digest = asking.digest if asking.task or asking.key else ""
        live = LiveTask(task, asking.kind, self._made, digest, asking.key)
        live.most_bytes = self.bounds.task_result_bytes
        self._book.add(live)
        self._unfinished[live.owner] += 1
        self._idle.clear()
        self._start(live, asking)
        return live

    def _check(self, asking: Asking) -> None:
        """`CommandError` where this cannot be done, or not now."""
        if self._closing:
            raise _closing()
        if asking.task in (*self.kinds.names, "kinds"):  # over HTTP it could not be asked for
            raise bad_request("task", f"{asking.task!r} is the name of a kind of task. Use another task id.")
        refusal = asking.kind.refusal(self.abilities())
        if refusal is not None:
            raise CommandError(ErrorCode.UNSUPPORTED, refusal, kind=asking.kind.name, model=self._model)
        if self._unfinished[asking.principal.id] >= self.bounds.tasks_per_principal:
            raise _too_many(self.bounds.tasks_per_principal)

    def _start(self, live: LiveTask, asking: Asking) -> None:
        loop = asyncio.get_running_loop()
        live.work = work = loop.create_task(self._carry_out(live, asking.given))
        self._works.add(work)
        work.add_done_callback(partial(self._worked, live))
        loop.call_later(SETTLE_SECONDS, live.take)
        if asking.timeout_ms is not None:
            live.timer = loop.call_later(asking.timeout_ms / 1000, self.end, live, "timeout")

    def _worked(self, live: LiveTask, work: asyncio.Task[None]) -> None:
        """Nothing is done for it any more. A cancelled asyncio task holds all that its frames held, so it must go."""
        live.work = None
        self._works.discard(work)

    async def _carry_out(self, live: LiveTask, asked: Struct) -> None:
        with bound(task=live.id):
            try:
                result = await live.kind.run(asked, self._bench(live))
                await self._succeed(live, result)
            except CommandError as error:
                self._fail(live, error)
            except asyncio.CancelledError:
                self.end(live, "cancelled")
                raise
            except Exception:
                log.exception("a task of kind %s failed", live.kind.name)
                self._fail(live, _our_fault())

    async def _succeed(self, live: LiveTask, result: Struct) -> None:
        size = await json_size(result)
        live.result_grew(size)
        if not live.over:
            live.result_bytes = size
            self._finish(live, "done", result=result)

    def _fail(self, live: LiveTask, error: CommandError) -> None:
        if live.over:
            return
        if live.taken:
            self._finish(live, "failed", reason="error", error=ErrorBody.of(error))
        else:
            live.refuse(error)
            self._settle(live)
            self._book.forget(live)

    def _finish(
        self,
        live: LiveTask,
        state: TaskState,
        *,
        result: Struct | None = None,
        reason: TaskReason | None = None,
        error: ErrorBody | None = None,
    ) -> None:
        live.end(state, result=result, reason=reason, error=error, keep=self.bounds.task_results)
        self._settle(live)
        self._kept.add(live)
        self.on_ended(live.shown(result=False))

    def _settle(self, live: LiveTask) -> None:
        if live.timer is not None:
            live.timer.cancel()
        self._unfinished[live.owner] -= 1
        if not self._unfinished[live.owner]:
            del self._unfinished[live.owner]
        if not self._unfinished:
            self._idle.set()


def _closing() -> CommandError:
    return CommandError(
        ErrorCode.MODEL_UNAVAILABLE, "The server is shutting down. Connect again in a moment and repeat this."
    )


def _too_many(most: int) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"You have {most} unfinished tasks, as many as may be. Wait for one, or cancel one.",
        limit=most,
    )


def _our_fault() -> CommandError:
    return CommandError(ErrorCode.INTERNAL, "The server failed while it carried out the task. Its log says more.")
