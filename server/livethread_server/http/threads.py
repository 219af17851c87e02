"""Whole threads over HTTP: create, list, get, update, delete, fork.

It must never know what the commands do.
"""

from __future__ import annotations

from msgspec import UNSET
from starlette.responses import Response

from livethread import messages as wire
from livethread.errors import ErrorCode
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.call import Call
from livethread_server.http.conditions import (
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    LOCATION,
    etag,
    expected_version,
    is_known,
    whole_etag,
)
from livethread_server.http.operation import Operation, json_answer
from livethread_server.service import Service
from livethread_server.stamps import now

TAG = "threads"
REVALIDATE = "private, no-cache"
"""May be kept, but not shown without asking whether it still holds (RFC 9111, 5.2.2)."""

NewThread = part_of(wire.ThreadCreate, "NewThread", "A thread as a client asks for it.")
ThreadChanges = part_of(
    wire.ThreadUpdate, "ThreadChanges", "Only the fields given change; null clears one.", {"thread", "expect_version"}
)
ThreadFork = part_of(wire.ThreadFork, "NewFork", "What the new thread is, and up to where it copies.", {"thread"})
ThreadQuery = part_of(wire.ThreadGet, "ThreadQuery", "Which messages are shown.", {"thread"})
ThreadListQuery = part_of(wire.ThreadList, "ThreadListQuery", "Which threads are shown.")


class Threads:
    """Carries out the operations about whole threads."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, call: Call) -> Response:
        """201, or 200 where ``if_exists: get`` found one."""
        began = now()
        ok = await ask(self._service, call.session, command_of(wire.ThreadCreate, call.body))
        return _made(ok, 201 if ok.thread.created_at >= began else 200)

    async def list(self, call: Call) -> Response:
        """Summaries, the newest change first."""
        return json_answer(await ask(self._service, call.session, command_of(wire.ThreadList, call.query)))

    async def get(self, call: Call) -> Response:
        """The thread with its newest messages; 304 where the client has it."""
        ok = await ask(self._service, call.session, command_of(wire.ThreadGet, call.query, **call.path))
        tag = whole_etag(ok.thread)
        headers = {"etag": tag, "cache-control": REVALIDATE}
        if ok.run is UNSET and is_known(call.request, tag):  # while a run streams, its text changes
            return Response(status_code=304, headers=headers)
        return json_answer(ok, headers=headers)

    async def update(self, call: Call) -> Response:
        """Change settings."""
        version = expected_version(call.request)
        command = command_of(wire.ThreadUpdate, call.body, expect_version=version, **call.path)
        ok = await ask(self._service, call.session, command)
        return json_answer(ok, headers={"etag": etag(ok.version)})

    async def delete(self, call: Call) -> Response:
        """End its runs, and remove it."""
        await ask(self._service, call.session, command_of(wire.ThreadDelete, **call.path))
        return Response(status_code=204)

    async def fork(self, call: Call) -> Response:
        """Make a thread with the beginning of another."""
        return _made(await ask(self._service, call.session, command_of(wire.ThreadFork, call.body, **call.path)), 201)

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                id="create_thread",
                method="POST",
                path="/v1/threads",
                tag=TAG,
                summary="Make a thread; with 'if_exists: get' and an id that is taken, get that one (200).",
                handler=self.create,
                body=NewThread,
                ok=wire.ThreadOk,
                status=201,
                more_statuses=(200,),
                tells=(ETAG, LOCATION),
                errors=(ErrorCode.EXISTS, ErrorCode.NOT_FOUND),
                named="'if_exists: get' with an id of your own in 'thread'",
            ),
            Operation(
                id="list_threads",
                method="GET",
                path="/v1/threads",
                tag=TAG,
                summary="Summaries of the threads that you may read, the newest change first, a page at a time.",
                handler=self.list,
                query=ThreadListQuery,
                ok=wire.ThreadListOk,
            ),
            Operation(
                id="get_thread",
                method="GET",
                path="/v1/threads/{thread}",
                tag=TAG,
                summary="A thread with its newest messages, or with those before one.",
                handler=self.get,
                query=ThreadQuery,
                ok=wire.ThreadGetOk,
                more_statuses=(304,),
                headers=(IF_NONE_MATCH,),
                tells=(ETAG,),
                errors=(ErrorCode.NOT_FOUND,),
            ),
            Operation(
                id="update_thread",
                method="PATCH",
                path="/v1/threads/{thread}",
                tag=TAG,
                summary="Change settings of a thread; null clears one.",
                handler=self.update,
                body=ThreadChanges,
                ok=wire.VersionOk,
                headers=(IF_MATCH,),
                tells=(ETAG,),
                errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN, ErrorCode.VERSION_CONFLICT),
            ),
            Operation(
                id="delete_thread",
                method="DELETE",
                path="/v1/threads/{thread}",
                tag=TAG,
                summary="End a thread's runs and remove it.",
                handler=self.delete,
                status=204,
                errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN, ErrorCode.VERSION_CONFLICT),
            ),
            Operation(
                id="fork_thread",
                method="POST",
                path="/v1/threads/{thread}/fork",
                tag=TAG,
                summary="Make a thread that begins as this one does, up to a message or to the last finished one.",
                handler=self.fork,
                body=ThreadFork,
                ok=wire.ThreadOk,
                status=201,
                tells=(ETAG, LOCATION),
                errors=(ErrorCode.NOT_FOUND, ErrorCode.EXISTS, ErrorCode.BUSY),
                named="an id of your own in 'new_thread'",
            ),
        )


def _made(ok: wire.ThreadOk, status: int) -> Response:
    location = f"/v1/threads/{ok.thread.id}"
    headers = {"location": location, "etag": whole_etag(ok.thread)}
    return json_answer(ok, status, headers)
