"""The life of all tasks: they are taken, carried out, end once, and stay for a while.

It must never know what kinds there are, how a model works, or who is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.model import Principal
from livethread.replies import ErrorBody
from livethread.tasks import Task, TaskCancelOk, TaskListOk, TaskReason, TaskState
from livethread_server.logs import bound
from livethread_server.stamps import new_id, now
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.kept import Kept
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.kind_list import Kinds, input_of
from livethread_server.tasks.live_task import LiveTask

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0
"""How long a task that neither waits for the engine nor says how far it is may be refused still."""

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
        self._bounds = bounds
        self._model = model
        self._mine: dict[str, dict[str, LiveTask]] = {}
        self._keys: dict[tuple[str, str], LiveTask] = {}
        self._unfinished: Counter[str] = Counter()
        self._kept = Kept(bounds, self._forget)
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
        live = self._known(principal, kind, asked, task, timeout_ms, key) or self._begin(
            principal, kind, asked, task, timeout_ms, key
        )
        await live.settled()
        if live.refused is not None:
            raise live.refused
        return live

    async def get(self, principal: Principal, task: str) -> LiveTask:
        """A task of the principal's. `CommandError` ``not_found``, whoever else has one of that id."""
        live = self._mine.get(principal.id, {}).get(task)
        if live is not None:
            await live.settled()
        if live is None or live.refused is not None:
            raise _unknown(task)
        return live

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
        before = _place(cursor)
        found = [
            live
            for live in reversed(self._mine.get(principal.id, {}).values())
            if live.taken and live.number < before and kind in (None, live.kind.name) and state in (None, live.state)
        ]
        page = found[:limit]
        more = str(page[-1].number) if len(found) > limit else None
        return TaskListOk(tuple(live.shown(result=False) for live in page), more)

    def cancel(self, principal: Principal, task: str) -> TaskCancelOk:
        """End a task, if it has not ended. `CommandError` ``not_found``."""
        live = self._mine.get(principal.id, {}).get(task)
        if live is None or live.refused is not None:
            raise _unknown(task)
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
        counts = {kind: Counter[str]() for kind in self.kinds.names}
        for mine in self._mine.values():
            for live in mine.values():
                counts[live.kind.name][live.state] += 1
        return {kind: dict(states) for kind, states in counts.items()}

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
        for mine in list(self._mine.values()):
            for live in list(mine.values()):
                self.end(live, "cancelled")
        await asyncio.gather(*self._works, return_exceptions=True)
        self._kept.close()

    # Inside

    def _begin(
        self,
        principal: Principal,
        name: str,
        asked: Struct | dict[str, Any],
        task: str | None,
        timeout_ms: int | None,
        key: str | None,
    ) -> LiveTask:
        kind = self.kinds.get(name)
        given = input_of(kind, asked)
        if self._closing:
            raise _closing()
        if task in (*self.kinds.names, "kinds"):  # over HTTP it could not be asked for
            raise bad_request("task", f"{task!r} is the name of a kind of task. Use another task id.")
        refusal = kind.refusal(self.abilities())
        if refusal is not None:
            raise CommandError(ErrorCode.UNSUPPORTED, refusal, kind=name, model=self._model)
        if self._unfinished[principal.id] >= self._bounds.tasks_per_principal:
            raise _too_many(self._bounds.tasks_per_principal)
        shown = Task(
            id=task or new_id("k"),
            kind=name,
            state="queued",
            model=self._model,
            instance=self.instance,
            by=principal,
            timeout_ms=timeout_ms,
            created_at=now(),
        )
        self._made += 1
        digest = _digest(name, given, task, timeout_ms) if task or key else ""
        live = LiveTask(shown, kind, self._made, digest)
        self._adopt(live, given, key)
        if timeout_ms is not None:
            live.timer = asyncio.get_running_loop().call_later(timeout_ms / 1000, self.end, live, "timeout")
        return live

    def _adopt(self, live: LiveTask, asked: Struct, key: str | None) -> None:
        self._mine.setdefault(live.owner, {})[live.id] = live
        if key is not None:
            live.key = key
            self._keys[live.owner, key] = live
        self._unfinished[live.owner] += 1
        self._idle.clear()
        live.work = work = asyncio.create_task(self._carry_out(live, asked))
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, live.take)

    def _known(
        self,
        principal: Principal,
        kind: str,
        asked: Struct | dict[str, Any],
        task: str | None,
        timeout_ms: int | None,
        key: str | None,
    ) -> LiveTask | None:
        """The task that the same was asked of before. `CommandError` where it was something else."""
        by_key = None if key is None else self._keys.get((principal.id, key))
        known = by_key or (None if task is None else self._mine.get(principal.id, {}).get(task))
        if known is None:
            return None
        given = input_of(self.kinds.get(kind), asked)
        if known.digest == _digest(kind, given, task, timeout_ms):
            return known
        if by_key is not None:
            raise bad_request("key", f"The key {key!r} was used for another task. Use a new key for a new task.")
        raise CommandError(
            ErrorCode.EXISTS, f"There is a task {task!r} already. Use a new task id.", field="task", task=task
        )

    async def _carry_out(self, live: LiveTask, asked: Struct) -> None:
        with bound(task=live.id):
            try:
                result = await live.kind.run(asked, self._bench(live))
                self._succeed(live, result)
            except CommandError as error:
                self._fail(live, error)
            except asyncio.CancelledError:
                self.end(live, "cancelled")
                raise
            except Exception:
                log.exception("a task of kind %s failed", live.kind.name)
                self._fail(live, _our_fault())

    def _succeed(self, live: LiveTask, result: Struct) -> None:
        if live.over:
            return
        size = len(msgspec.json.encode(result))
        most = self._bounds.task_result_bytes
        if size > most:
            raise CommandError(
                ErrorCode.TOO_LARGE,
                f"The result has {size} bytes, more than the {most} that all results may have. Ask for less at once.",
                limit_bytes=most,
                bytes=size,
            )
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
            self._forget(live)

    def _finish(
        self,
        live: LiveTask,
        state: TaskState,
        *,
        result: Struct | None = None,
        reason: TaskReason | None = None,
        error: ErrorBody | None = None,
    ) -> None:
        live.end(state, result=result, reason=reason, error=error, keep=self._bounds.task_results)
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

    def _forget(self, live: LiveTask) -> None:
        mine = self._mine.get(live.owner, {})
        mine.pop(live.id, None)
        if not mine:
            self._mine.pop(live.owner, None)
        if live.key is not None:
            self._keys.pop((live.owner, live.key), None)


def _digest(kind: str, given: Struct, task: str | None, timeout_ms: int | None) -> str:
    """Equal for those who ask for the same."""
    plain = msgspec.to_builtins((kind, given, task, timeout_ms), str_keys=True)
    return hashlib.blake2b(msgspec.json.encode(plain, order="sorted"), digest_size=16).hexdigest()


def _place(cursor: str | None) -> float:
    if cursor is None:
        return float("inf")
    if not (cursor.isascii() and cursor.isdecimal()):
        raise bad_request("cursor", f"The cursor {cursor[:64]!r} is none of this server. Begin without one.")
    return int(cursor)


def _unknown(task: str) -> CommandError:
    """The same answer for a task that is not there, is gone, or is somebody else's."""
    return CommandError(
        ErrorCode.NOT_FOUND,
        f"There is no task {task!r}, or its time is over. Use the id that its creation answered.",
        field="task",
        task=task,
    )


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
