"""Tasks over HTTP: an operation for each kind, and those that monitor and cancel.

It must never know how a task is carried out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from livethread.errors import CommandError, ErrorCode
from livethread.messages import TaskDelta, TaskUpdated
from livethread.model import Id
from livethread.tasks import KindName, Task, TaskCancelOk, TaskListOk, TaskState
from livethread_server.http.call import Call
from livethread_server.http.conditions import (
    ACCEPT,
    APPLIED,
    IDEMPOTENCY_KEY,
    LOCATION,
    accepts_events,
    idempotency_key,
    prefers_async,
)
from livethread_server.http.operation import ENGINE_ERRORS, GENERATION_ERRORS, Header, Operation, json_answer
from livethread_server.http.sse import event
from livethread_server.tasks.kind import TaskKind
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.tasks import Tasks
from livethread_server.tasks.telling import told

TAG = "tasks"
PREFER = Header("Prefer", "'respond-async' answers 202 once the task is taken (RFC 7240).")
KEY = Header(
    "Idempotency-Key", "The same key is the same task, as long as that can be asked for.", IDEMPOTENCY_KEY.type
)
Milliseconds = Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]


class CreateQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside a task's input."""

    task: Id | None = None
    timeout_ms: Milliseconds | None = None
    stream: bool = False


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks."""

    kind: KindName | None = None
    state: TaskState | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class GetQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait for the end, or whether to be told of all that happens until then."""

    wait_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    stream: bool = False


class KindShown(Struct, frozen=True):
    """A kind of task, with the JSON Schemas of what it takes and gives; ``reason`` says why the loaded model cannot do
    it, where it cannot."""

    kind: str
    summary: str
    available: bool
    reason: str | None
    input: dict[str, Any]
    result: dict[str, Any]


class KindsOk(Struct, frozen=True):
    kinds: tuple[KindShown, ...]


def task_operations(tasks: Tasks) -> list[Operation]:
    """What can be asked for under ``/v1/tasks``."""
    door = _TaskDoor(tasks)
    return [
        Operation(
            id="list_task_kinds",
            method="GET",
            path="/v1/tasks/kinds",
            tag=TAG,
            summary="The kinds of tasks, and whether the loaded model can do them.",
            handler=door.kinds,
            ok=KindsOk,
            errors=ENGINE_ERRORS,
        ),
        *(_create(kind, door) for kind in tasks.kinds),
        Operation(
            id="list_tasks",
            method="GET",
            path="/v1/tasks",
            tag=TAG,
            summary="Your tasks, the newest first, without their results.",
            handler=door.list,
            query=ListQuery,
            ok=TaskListOk,
        ),
        Operation(
            id="get_task",
            method="GET",
            path="/v1/tasks/{task}",
            tag=TAG,
            summary="A task as it is, or as soon as it is over.",
            handler=door.get,
            query=GetQuery,
            ok=Task,
            streams=(TaskUpdated, TaskDelta),
            headers=(ACCEPT,),
            errors=(ErrorCode.NOT_FOUND,),
        ),
        Operation(
            id="cancel_task",
            method="DELETE",
            path="/v1/tasks/{task}",
            tag=TAG,
            summary="Cancel a task, if it is not over; may be repeated.",
            handler=door.cancel,
            ok=TaskCancelOk,
            errors=(ErrorCode.NOT_FOUND,),
        ),
    ]


def _create(kind: TaskKind, door: _TaskDoor) -> Operation:
    whole = _with_result(kind)
    return Operation(
        id=f"create_{kind.name.replace('-', '_')}",
        method="POST",
        path=f"/v1/tasks/{kind.name}",
        tag=TAG,
        summary=kind.summary,
        handler=partial(door.create, kind),
        query=CreateQuery,
        body=kind.Input,
        ok=whole,
        more_statuses=(202,),
        accepted=whole,
        streams=(TaskUpdated, TaskDelta),
        headers=(PREFER, ACCEPT, KEY),
        tells=(LOCATION, APPLIED),
        errors=(ErrorCode.EXISTS, *GENERATION_ERRORS),
    )


def _with_result(kind: TaskKind) -> type[Struct]:
    """What a task of this kind is, for those who read descriptions."""
    name = "".join(part.capitalize() for part in kind.name.split("-")) + "Task"
    result: Any = kind.Result | None
    return msgspec.defstruct(name, [("result", result, None)], bases=(Task,), frozen=True, kw_only=True)


class _TaskDoor:
    """The handlers of these operations."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def create(self, kind: TaskKind, call: Call) -> Response:
        """Begin a task and wait for it, stream it, or answer at once. A client that goes away cancels what it waits
        for, unless its request has a key with which it may ask again."""
        query: CreateQuery = call.query
        streams, key = query.stream or accepts_events(call.request), idempotency_key(call.request)
        at_once = not streams and prefers_async(call.request)
        if not at_once:
            call.stay()
        live = await self._tasks.create(
            call.session.principal, kind.name, call.body, task=query.task, timeout_ms=query.timeout_ms, key=key
        )
        headers = {"location": f"/v1/tasks/{live.id}"}
        if at_once:
            headers["preference-applied"] = "respond-async"
            return json_answer(live.shown(), 202, headers)
        mine = key is None
        if streams:
            return call.stream(self._events(live, mine=mine), headers)
        try:
            task = await call.patiently(live.ended())
        finally:
            self._leave(live, mine=mine)
        if task.error is not None:
            raise _failed(task)
        return json_answer(task, headers=headers)

    async def get(self, call: Call) -> Response:
        query: GetQuery = call.query
        live = await self._tasks.get(call.session.principal, call.path["task"])
        if query.stream or accepts_events(call.request):
            call.stay()
            return call.stream(self._events(live, mine=False))
        if query.wait_ms and not live.over:
            await call.patiently(live.ended_within(query.wait_ms))
        return json_answer(live.shown())

    async def list(self, call: Call) -> Response:
        query: ListQuery = call.query
        found = self._tasks.list(
            call.session.principal, kind=query.kind, state=query.state, limit=query.limit, cursor=query.cursor
        )
        return json_answer(found)

    async def cancel(self, call: Call) -> Response:
        return json_answer(self._tasks.cancel(call.session.principal, call.path["task"]))

    async def kinds(self, call: Call) -> Response:
        abilities = self._tasks.abilities()
        return json_answer(KindsOk(tuple(_shown(kind, kind.refusal(abilities)) for kind in self._tasks.kinds)))

    async def _events(self, live: LiveTask, *, mine: bool) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(told(live)) as events:
                async for one in events:
                    yield event(msgspec.json.encode(one), str(one.__struct_config__.tag))
        finally:
            self._leave(live, mine=mine)

    def _leave(self, live: LiveTask, *, mine: bool) -> None:
        """Nobody waits for it here any more."""
        if mine:
            self._tasks.end(live, "cancelled")


def _shown(kind: TaskKind, reason: str | None) -> KindShown:
    schemas = msgspec.json.schema(kind.Input), msgspec.json.schema(kind.Result)
    return KindShown(kind.name, kind.summary, reason is None, reason, *schemas)


def _failed(task: Task) -> CommandError:
    assert task.error is not None
    error = task.error.as_exception()
    error.details = {**error.details, "task": task.id}
    return error
