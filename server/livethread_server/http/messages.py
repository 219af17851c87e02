"""A thread's messages over HTTP: list, append, get, edit, delete; and mutations of several ops at once.

It must never know what the commands do.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from livethread import messages as wire
from livethread.checks import check_draft
from livethread.errors import ErrorCode
from livethread.messages import IfBusyMutate
from livethread.model import Message
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.call import Call
from livethread_server.http.conditions import (
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LOCATION,
    etag,
    expected_version,
    idempotency_key,
    whole_etag,
)
from livethread_server.http.operation import Operation, json_answer
from livethread_server.http.threads import ThreadQuery
from livethread_server.mutation import unknown_message
from livethread_server.service import Service

TAG = "messages"
MESSAGES = 1024
"""How many messages may be appended at once: as many as a mutation may have ops."""
CHANGE_ERRORS = (ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN, ErrorCode.VERSION_CONFLICT, ErrorCode.BUSY)
"""What an operation that changes messages may refuse with."""

Mutation = part_of(wire.Mutate, "Mutation", "Ops, applied in order or not at all.", {"thread", "expect_version", "key"})
NewMessages = wire.Draft | Annotated[tuple[wire.Draft, ...], Meta(min_length=1, max_length=MESSAGES)]


class MessageChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a message."""

    content: str
    if_busy: IfBusyMutate = "reject"


class IfBusyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of runs in the way."""

    if_busy: IfBusyMutate = "reject"


class MessageList(Struct, frozen=True):
    """``more`` says whether there are older ones; ``run`` is the one that streams, with its text so far."""

    messages: tuple[Message, ...]
    more: bool
    version: int
    run: wire.RunSnapshot | UnsetType = UNSET


class MessageFound(Struct, frozen=True):
    message: Message
    version: int


class Messages:
    """Carries out the operations about messages."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def list(self, call: Call) -> Response:
        """The newest messages, or those before one."""
        ok = await ask(self._service, call.session, command_of(wire.ThreadGet, call.query, **call.path))
        shown = MessageList(ok.thread.messages, ok.more, ok.thread.version, ok.run)
        return json_answer(shown, headers={"etag": whole_etag(ok.thread)})

    async def append(self, call: Call) -> Response:
        """Put one or several at the end."""
        drafts = call.body if isinstance(call.body, tuple) else (call.body,)
        for index, draft in enumerate(drafts):
            check_draft(f"[{index}]", draft)
        ok = await self._mutate(call, tuple(map(wire.Append, drafts)), "reject")
        location = f"/v1/threads/{call.path['thread']}/messages/{ok.messages[0]}"
        return json_answer(ok, 201, {"etag": etag(ok.version), "location": location})

    async def get(self, call: Call) -> Response:
        """One message."""
        message, thread = await self._service.lookups.message(call.session, call.path["thread"], call.path["message"])
        if message is None:
            raise unknown_message(call.path["message"], "message")
        return json_answer(MessageFound(message, thread.version), headers={"etag": whole_etag(thread)})

    async def edit(self, call: Call) -> Response:
        """Replace the content of one."""
        ok = await self._mutate(call, (wire.Edit(call.path["message"], call.body.content),), call.body.if_busy)
        return json_answer(ok, headers={"etag": etag(ok.version)})

    async def delete(self, call: Call) -> Response:
        """Take one out."""
        ok = await self._mutate(call, (wire.Delete(call.path["message"]),), call.query.if_busy)
        return Response(status_code=204, headers={"etag": etag(ok.version)})

    async def mutate(self, call: Call) -> Response:
        """Several ops at once."""
        ok = await self._mutate(call, call.body.ops, call.body.if_busy)
        return json_answer(ok, headers={"etag": etag(ok.version)})

    async def _mutate(self, call: Call, ops: tuple[wire.Op, ...], if_busy: IfBusyMutate) -> wire.MutateOk:
        command = wire.Mutate(
            id=0,
            thread=call.path["thread"],
            ops=ops,
            expect_version=expected_version(call.request),
            key=idempotency_key(call.request),
            if_busy=if_busy,
        )
        ok: wire.MutateOk = await ask(self._service, call.session, command)
        return ok

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        reading = (ErrorCode.NOT_FOUND,)
        insisting = (IF_MATCH, IDEMPOTENCY_KEY)
        return (
            Operation(
                id="list_messages",
                method="GET",
                path="/v1/threads/{thread}/messages",
                tag=TAG,
                summary="The newest messages of a thread, or those before one.",
                handler=self.list,
                query=ThreadQuery,
                ok=MessageList,
                tells=(ETAG,),
                errors=reading,
            ),
            Operation(
                id="append_messages",
                method="POST",
                path="/v1/threads/{thread}/messages",
                tag=TAG,
                summary="Put one message, or a list of them, at the end of a thread. Nothing is generated.",
                handler=self.append,
                body=NewMessages,
                ok=wire.MutateOk,
                status=201,
                headers=insisting,
                tells=(ETAG, LOCATION),
                errors=(*CHANGE_ERRORS, ErrorCode.EXISTS),
            ),
            Operation(
                id="get_message",
                method="GET",
                path="/v1/threads/{thread}/messages/{message}",
                tag=TAG,
                summary="One message.",
                handler=self.get,
                ok=MessageFound,
                tells=(ETAG,),
                errors=reading,
            ),
            Operation(
                id="edit_message",
                method="PATCH",
                path="/v1/threads/{thread}/messages/{message}",
                tag=TAG,
                summary="Replace the content of a message.",
                handler=self.edit,
                body=MessageChanges,
                ok=wire.MutateOk,
                headers=insisting,
                tells=(ETAG,),
                errors=CHANGE_ERRORS,
            ),
            Operation(
                id="delete_message",
                method="DELETE",
                path="/v1/threads/{thread}/messages/{message}",
                tag=TAG,
                summary="Take a message out of a thread.",
                handler=self.delete,
                query=IfBusyQuery,
                status=204,
                headers=insisting,
                tells=(ETAG,),
                errors=CHANGE_ERRORS,
            ),
            Operation(
                id="mutate_thread",
                method="POST",
                path="/v1/threads/{thread}/mutations",
                tag=TAG,
                summary="Append, insert, edit, delete and truncate messages: all of the ops or none.",
                handler=self.mutate,
                body=Mutation,
                ok=wire.MutateOk,
                headers=insisting,
                tells=(ETAG,),
                errors=(*CHANGE_ERRORS, ErrorCode.EXISTS),
            ),
        )
