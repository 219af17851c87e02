"""Refusals in the shape that OpenAI's clients make their exceptions of.

The statuses are ours, but for those that would make these clients try again what can never work: they repeat 409 and
everything from 500 on. It must never know what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from livethread.errors import CommandError, ErrorCode
from livethread.replies import ErrorBody
from livethread.tasks import Task
from livethread_server.http.openai.answers import ErrorAnswer, ErrorObject
from livethread_server.http.problem import STATUS as OURS
from livethread_server.http.problem import Refusals, StatusError, refusal_headers

STATUS: Mapping[ErrorCode, int] = MappingProxyType(
    {**OURS, ErrorCode.CONTEXT_OVERFLOW: 400, ErrorCode.UNSUPPORTED: 400, ErrorCode.VERSION_CONFLICT: 400}
)
"""The HTTP status of each code here."""
INVALID = "invalid_request_error"
UNAVAILABLE = "unavailable_error"
TYPES: Mapping[ErrorCode, str] = MappingProxyType(
    {
        ErrorCode.UNAUTHORIZED: "authentication_error",
        ErrorCode.FORBIDDEN: "permission_error",
        ErrorCode.RATE_LIMITED: "rate_limit_error",
        ErrorCode.CONTEXT_OVERFLOW: "exceed_context_size_error",
        ErrorCode.QUEUE_FULL: "rate_limit_error",
        ErrorCode.MODEL_LOADING: UNAVAILABLE,
        ErrorCode.MODEL_UNAVAILABLE: UNAVAILABLE,
        ErrorCode.INTERNAL: "server_error",
    }
)
"""OpenAI's and llama.cpp's names for kinds of errors; all others are `INVALID`."""
CODES: Mapping[ErrorCode, str] = MappingProxyType(
    {
        ErrorCode.UNAUTHORIZED: "invalid_api_key",
        ErrorCode.RATE_LIMITED: "rate_limit_exceeded",
        ErrorCode.CONTEXT_OVERFLOW: "context_length_exceeded",
    }
)
"""OpenAI's codes where programs look for them; all others are ours."""
REFUSALS = Refusals(ErrorAnswer, "application/json", STATUS, "")


def model_not_found(model: str, served: str) -> CommandError:
    """A model that is not served here."""
    return CommandError(
        ErrorCode.NOT_FOUND,
        f"The model {model[:64]!r} is not served here. Ask for {served!r}, or start the server with "
        "--openai-any-model, so that it answers for every name.",
        field="model",
        openai="model_not_found",
    )


def failure(task: Task) -> CommandError:
    """Why a task has no result."""
    if task.error is not None:
        return task.error.as_exception()
    why = "took longer than it was given" if task.reason == "timeout" else "was cancelled"
    ended = StatusError(
        503,
        ErrorCode.MODEL_UNAVAILABLE,
        f"The task {task.id} {why} before it was done. Ask again if you still want it.",
        openai="cancelled",
    )
    ended.headers = {"x-should-retry": "false"}  # or the client would begin the same again by itself
    return ended


def error_object(error: CommandError) -> ErrorObject:
    """What OpenAI's clients show of an error."""
    details = ErrorBody.of(error).details
    too_long = error.code is ErrorCode.CONTEXT_OVERFLOW
    return ErrorObject(
        message=error.message,
        type=TYPES.get(error.code, INVALID),
        param=_param(details.get("field")),
        code=details.get("openai") or CODES.get(error.code, str(error.code)),
        n_prompt_tokens=details.get("prompt_tokens", UNSET) if too_long else UNSET,
        n_ctx=details.get("context_tokens", UNSET) if too_long else UNSET,
    )


def _param(field: str | None) -> str | None:
    """A task's name of a field as requests here have it: they embed an ``input``."""
    if field is None or not field.startswith("content"):
        return field
    return "input" + field.removeprefix("content")


def error_bytes(error: CommandError) -> bytes:
    """An error as JSON."""
    return msgspec.json.encode(ErrorAnswer(error_object(error)))


def error_answer(error: CommandError) -> Response:
    """The answer that says no."""
    status = error.status if isinstance(error, StatusError) else STATUS[error.code]
    return Response(error_bytes(error), status, refusal_headers(error), media_type="application/json")
