"""Roles on threads over HTTP.

It must never know what a role allows.
"""

from __future__ import annotations

from starlette.responses import Response

from livethread import messages as wire
from livethread.errors import ErrorCode
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.call import Call
from livethread_server.http.operation import Operation, json_answer
from livethread_server.service import Service

Share = part_of(
    wire.ThreadShare,
    "Share",
    "A role for a 'principal' ('none' takes it away), or an 'invite': true makes one, its token takes it up, and with "
    "the role 'none' revokes it.",
    {"thread"},
)


def share_operation(service: Service) -> Operation:
    """``POST /v1/threads/{thread}/shares``."""

    async def share(call: Call) -> Response:
        return json_answer(await ask(service, call.session, command_of(wire.ThreadShare, call.body, **call.path)))

    return Operation(
        id="share_thread",
        method="POST",
        path="/v1/threads/{thread}/shares",
        tag="threads",
        summary="Give somebody a role on a thread or take it away; make, take up or revoke an invite.",
        handler=share,
        body=Share,
        ok=wire.ShareOk,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN),
    )
