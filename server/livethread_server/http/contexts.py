"""A thread's context over HTTP: read a draft ahead, warm, evict.

It must never know how contexts are kept.
"""

from __future__ import annotations

from starlette.responses import Response

from livethread import messages as wire
from livethread.errors import ErrorCode
from livethread_server.http.asking import ask, command_of, part_of
from livethread_server.http.call import Call
from livethread_server.http.operation import ENGINE_ERRORS, Operation, json_answer
from livethread_server.service import Service

TAG = "contexts"

TypedText = part_of(wire.ReadDraft, "TypedText", "What a person is typing.", {"thread"})


class Contexts:
    """Carries out the operations about contexts."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def draft(self, call: Call) -> Response:
        """Have a message read while it is typed."""
        await ask(self._service, call.session, command_of(wire.ReadDraft, call.body, **call.path))
        return Response(status_code=204)

    async def warm(self, call: Call) -> Response:
        """Make a context live."""
        command = command_of(wire.Warm, **call.path)
        return json_answer(await call.patiently(ask(self._service, call.session, command)))

    async def evict(self, call: Call) -> Response:
        """Put a context on disk."""
        command = command_of(wire.Evict, **call.path)
        return json_answer(await call.patiently(ask(self._service, call.session, command)))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                id="read_draft",
                method="POST",
                path="/v1/threads/{thread}/draft",
                tag=TAG,
                summary="Say what a person is typing, so that the model reads it ahead. It is stored nowhere.",
                handler=self.draft,
                body=TypedText,
                status=204,
                errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN),
            ),
            Operation(
                id="warm_thread",
                method="POST",
                path="/v1/threads/{thread}/warm",
                tag=TAG,
                summary="Make a thread's context live; answered when it is.",
                handler=self.warm,
                ok=wire.ResidencyOk,
                errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN, ErrorCode.CONTEXT_OVERFLOW, *ENGINE_ERRORS),
            ),
            Operation(
                id="evict_thread",
                method="POST",
                path="/v1/threads/{thread}/evict",
                tag=TAG,
                summary="Put a thread's context on disk; answered once it can come back from there.",
                handler=self.evict,
                ok=wire.ResidencyOk,
                errors=(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN, ErrorCode.BUSY, *ENGINE_ERRORS),
            ),
        )
