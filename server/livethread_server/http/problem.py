"""Refusals as RFC 9457 problem documents, with the wire's codes.

It must never know what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.responses import Response

from livethread.errors import CommandError, ErrorCode
from livethread.replies import ErrorBody

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 1
"""What ``Retry-After`` says where nobody knows better."""

STATUS: Mapping[ErrorCode, int] = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: 400,
        ErrorCode.UNAUTHORIZED: 401,
        ErrorCode.FORBIDDEN: 403,
        ErrorCode.NOT_FOUND: 404,
        ErrorCode.EXISTS: 409,
        ErrorCode.VERSION_CONFLICT: 412,
        ErrorCode.BUSY: 409,
        ErrorCode.QUEUE_FULL: 429,
        ErrorCode.RATE_LIMITED: 429,
        ErrorCode.TOO_LARGE: 413,
        ErrorCode.CONTEXT_OVERFLOW: 422,
        ErrorCode.MODEL_LOADING: 503,
        ErrorCode.MODEL_UNAVAILABLE: 503,
        ErrorCode.UNSUPPORTED: 422,
        ErrorCode.INTERNAL: 500,
    }
)
"""The HTTP status of each code (RFC 9110, 15)."""


class StatusError(CommandError):
    """A refusal that HTTP has a status of its own for."""

    def __init__(self, status: int, code: ErrorCode, message: str, /, **details: Any) -> None:
        super().__init__(code, message, **details)
        self.status = status
        self.headers: Mapping[str, str] = {}


def internal() -> CommandError:
    """The answer where it is our fault."""
    return CommandError(ErrorCode.INTERNAL, "The server failed while it answered the request. Its log says more.")


def status_of(error: CommandError) -> int:
    """The HTTP status that a refusal has."""
    return error.status if isinstance(error, StatusError) else STATUS[error.code]


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457, 3.1, and the wire's error beside it: ``code``, ``retryable`` and ``details`` are what a reply's
    ``error`` has, ``detail`` is its ``message``.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: CommandError) -> Problem:
        """What travels of a refusal."""
        body = ErrorBody.of(error)
        return cls(
            type=f"urn:livethread:error:{body.code}",
            title=body.code.replace("_", " ").capitalize(),
            status=status_of(error),
            detail=body.message,
            code=body.code,
            retryable=body.retryable,
            details=body.details,
        )


class Refusals(msgspec.Struct, frozen=True):
    """What an API's refusals look like, for who describes it: their ``type`` and ``media_type``, the HTTP status of
    each code, and the name of the ``event`` that ends a stream."""

    type: Any
    media_type: str
    statuses: Mapping[ErrorCode, int]
    event: str


PROBLEMS = Refusals(Problem, PROBLEM_JSON, STATUS, "error")


def refusal_headers(error: CommandError) -> dict[str, str]:
    """What an answer that says no has beside its body."""
    headers: dict[str, str] = dict(error.headers) if isinstance(error, StatusError) else {}
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"  # RFC 6750, 3
    if error.retryable and error.code is not ErrorCode.BUSY:
        headers["retry-after"] = str(RETRY_SECONDS)
    return headers


def refusal(error: CommandError) -> Response:
    """The answer that says no."""
    body = msgspec.json.encode(Problem.of(error))
    return Response(body, status_of(error), refusal_headers(error), media_type=PROBLEM_JSON)
