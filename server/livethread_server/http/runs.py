"""Runs over HTTP: begin one and wait, stream or come back later; list, look at and cancel them.

It must never know what the commands do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct
from starlette.responses import Response

from livethread import messages as wire
from livethread.checks import check_draft
from livethread.errors import ErrorCode, bad_request
from livethread.model import Message, Run
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.call import Call
from livethread_server.http.conditions import (
    ACCEPT,
    APPLIED,
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LOCATION,
    PREFER,
    accepts_events,
    etag,
    expected_version,
    idempotency_key,
    prefers_async,
)
from livethread_server.http.messages import CHANGE_ERRORS, MESSAGES
from livethread_server.http.one_run import OneRun, RunDone, RunEnd
from livethread_server.http.operation import GENERATION_ERRORS, Method, Operation, StreamEvent, json_answer
from livethread_server.http.sse import event
from livethread_server.service import Service

TAG = "runs"

NewRun = part_of(
    wire.Generate,
    "NewRun",
    "What to generate. 'messages' are appended behind what the ops do; 'stream' answers with server-sent events.",
    {"thread", "expect_version", "key"},
    messages=(Annotated[tuple[wire.Draft, ...], Meta(max_length=MESSAGES)], ()),
    stream=(bool | None, None),
)


class RunQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for the run's end."""

    wait_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0


class RunFound(Struct, frozen=True):
    """A run as it is now, and the message that it writes; null where that is not in the thread any more."""

    run: Run
    message: Message | None


class Runs:
    """Carries out the operations about runs."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, call: Call) -> Response:
        """Begin a run, and wait for its end unless something else is asked for."""
        command = _generate(call)
        streams = accepts_events(call.request) if call.body.stream is None else call.body.stream
        if not streams and prefers_async(call.request):
            return await self._begin(call, command)
        call.stay()
        run = await OneRun.begin(self._service, call.session, command)
        if run.forgotten:
            return json_answer(run.accepted, 202, {"location": _location(run.accepted.run)})
        if streams:
            return call.stream(_told(run), {"location": _location(run.accepted.run)})
        done = await call.patiently(run.done())
        headers = {"location": _location(done.run), "etag": etag(done.version)}
        return json_answer(done, headers=headers)

    async def _begin(self, call: Call, command: wire.Generate) -> Response:
        if command.on_disconnect == "cancel":
            raise bad_request(
                "on_disconnect", "Who does not wait for a run cannot have it end when he goes. Leave it out."
            )
        ok = await ask(self._service, call.session, command)
        headers = {"location": _location(ok.run), "etag": etag(ok.version), "preference-applied": "respond-async"}
        return json_answer(ok, 202, headers)

    async def list(self, call: Call) -> Response:
        """The newest runs, of one thread or of all."""
        return json_answer(await ask(self._service, call.session, wire.Runs(id=0, thread=call.path.get("thread"))))

    async def get(self, call: Call) -> Response:
        """One run, and what it wrote."""
        run = await self._service.lookups.run(call.session, call.path["run"])
        if call.query.wait_ms and run.state != "finished":
            await self._await_end(call, run)
            run = await self._service.lookups.run(call.session, run.id)
        message, _ = await self._service.lookups.message(call.session, run.thread, run.message)
        return json_answer(RunFound(run, message))

    async def _await_end(self, call: Call, run: Run) -> None:
        call.stay()
        one = await OneRun.join(self._service, call.session, run)
        with suppress(TimeoutError):
            async with asyncio.timeout(call.query.wait_ms / 1000):
                await call.patiently(one.done())

    async def cancel(self, call: Call) -> Response:
        """End one soon."""
        return json_answer(await ask(self._service, call.session, command_of(wire.Cancel, **call.path)))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                id="create_run",
                method="POST",
                path="/v1/threads/{thread}/runs",
                tag=TAG,
                summary="Generate the next message, after changing the thread where ops or messages say so: waits for "
                "the end, streams the run's events, or answers at once (202).",
                handler=self.create,
                body=NewRun,
                ok=RunDone,
                more_statuses=(202,),
                accepted=wire.GenerateOk,
                streams=(
                    *(StreamEvent("accepted", wire.GenerateOk), StreamEvent("run.snapshot", wire.RunSnapshot)),
                    *(wire.RunQueued, wire.RunStarted, wire.RunProgress),
                    *(wire.RunDelta, wire.RunRecovered, RunEnd),
                ),
                headers=(ACCEPT, PREFER, IF_MATCH, IDEMPOTENCY_KEY),
                tells=(ETAG, LOCATION, APPLIED),
                errors=(*CHANGE_ERRORS, ErrorCode.EXISTS, *GENERATION_ERRORS),
            ),
            Operation(
                id="list_thread_runs",
                method="GET",
                path="/v1/threads/{thread}/runs",
                tag=TAG,
                summary="The newest runs of a thread.",
                handler=self.list,
                ok=wire.RunsOk,
                errors=(ErrorCode.NOT_FOUND,),
            ),
            Operation(
                id="list_runs",
                method="GET",
                path="/v1/runs",
                tag=TAG,
                summary="The newest runs of all threads that you may read.",
                handler=self.list,
                ok=wire.RunsOk,
            ),
            Operation(
                id="get_run",
                method="GET",
                path="/v1/runs/{run}",
                tag=TAG,
                summary="A run as it is now, or once it has ended, and the message that it writes.",
                handler=self.get,
                query=RunQuery,
                ok=RunFound,
                errors=(ErrorCode.NOT_FOUND, ErrorCode.MODEL_UNAVAILABLE),
            ),
            self._cancelling("delete_run", "DELETE", "/v1/runs/{run}"),
            self._cancelling("cancel_run", "POST", "/v1/runs/{run}/cancel"),
        )

    def _cancelling(self, name: str, method: Method, path: str) -> Operation:
        return Operation(
            id=name,
            method=method,
            path=path,
            tag=TAG,
            summary="End a run. It may be asked again, and answers at once how the run was.",
            handler=self.cancel,
            ok=wire.CancelOk,
            errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN),
        )


def _generate(call: Call) -> wire.Generate:
    count = len(call.body.ops) + len(call.body.messages)
    if count > MESSAGES:
        raise bad_request("messages", f"There are {count} ops and messages. Send at most {MESSAGES} of both at once.")
    for index, draft in enumerate(call.body.messages):
        check_draft(f"messages[{index}]", draft)
    return command_of(
        wire.Generate,
        call.body,
        thread=call.path["thread"],
        ops=(*call.body.ops, *map(wire.Append, call.body.messages)),
        expect_version=expected_version(call.request),
        key=idempotency_key(call.request),
    )


async def _told(run: OneRun) -> AsyncGenerator[bytes, None]:
    """The run's events, behind what its acceptance answered and, where it streams already, its text so far.

    They have no positions: the thread's other events are not among them, so who came back with one would lack those.
    """
    yield event(msgspec.json.encode(run.accepted), "accepted", run.position)
    if run.snapshot is not UNSET:
        yield event(msgspec.json.encode(run.snapshot), "run.snapshot")
    async with aclosing(run.frames()) as frames:
        async for frame, head in frames:
            yield event(frame, head.type)


def _location(run: str) -> str:
    return f"/v1/runs/{run}"
