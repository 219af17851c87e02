"""One operation of the HTTP API as a value: its path, what it takes and gives, and who carries it out.

The routes and the OpenAPI document are both made from these. It must never know what an operation does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response

from livethread.errors import ErrorCode
from livethread_server.http.call import Call
from livethread_server.http.problem import PROBLEMS, Refusals

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[[Call], Awaitable[Response]]

ENGINE_ERRORS = (ErrorCode.MODEL_LOADING, ErrorCode.MODEL_UNAVAILABLE)
"""What an operation that needs the engine may refuse with."""
GENERATION_ERRORS = (ErrorCode.QUEUE_FULL, ErrorCode.CONTEXT_OVERFLOW, ErrorCode.UNSUPPORTED, *ENGINE_ERRORS)
"""What an operation that has the model read or write may refuse with."""

_PARAMETER = re.compile(r"\{([^}]*)\}")


class Header(Struct, frozen=True):
    """A header of a request or an answer. ``type`` is what its text must be."""

    name: str
    description: str
    type: Any = str


class StreamEvent(Struct, frozen=True):
    """A server-sent event: its ``name``, "" for none, and the type of its ``data``, or a fixed ``text`` instead."""

    name: str
    data: Any = None
    text: str = ""


class Operation(Struct, frozen=True, kw_only=True):
    """``path`` has its parameters in braces, as in OpenAPI and starlette; all of them are ids. ``query`` is a struct
    of plain fields that forbids unknown ones, ``body`` any type; where none is sent, that counts as ``{}``. ``ok``
    is what a success holds (None: nothing), ``status`` its status, ``media_type`` its form. ``more_statuses`` are
    others that are no refusals: 202 holds ``accepted``, 304 nothing, the rest ``ok``. ``streams`` are the
    server-sent events that it can answer with; a type stands for the one that its tag names. That of ``refusals``,
    which say what a refusal looks like, may always be the last.
    ``headers`` are those of requests that it heeds, ``tells`` those of its answers. ``errors`` are the codes that
    it may refuse with, beside those of `usual_errors`. ``named`` is what makes it safe to send twice, as a clause,
    where it makes something and heeds no ``Idempotency-Key``. Where it is ``free`` the path's parameters are no ids
    but any text, and the last one may have slashes.
    """

    id: str
    method: Method
    path: str
    tag: str
    summary: str
    handler: Handler
    query: type[Struct] | None = None
    body: Any = None
    ok: Any = None
    status: int = 200
    more_statuses: Sequence[int] = ()
    media_type: str = "application/json"
    accepted: Any = None
    streams: Sequence[Any] = ()
    headers: Sequence[Header] = ()
    tells: Sequence[Header] = ()
    errors: Sequence[ErrorCode] = ()
    named: str = ""
    guarded: bool = True
    free: bool = False
    refusals: Refusals = PROBLEMS

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path, in order."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def shape(self) -> str:
        """The path without the names of its parameters: operations with equal ones share a route."""
        return _PARAMETER.sub("{}", self.path)

    @property
    def usual_errors(self) -> tuple[ErrorCode, ...]:
        """What any operation of this form may refuse with, whatever it does. ``bad_request`` is status 400, and 415
        where there is a ``body`` in another format than JSON."""
        codes = [ErrorCode.BAD_REQUEST, ErrorCode.RATE_LIMITED, ErrorCode.INTERNAL]
        codes += [ErrorCode.UNAUTHORIZED] if self.guarded else []
        codes += [ErrorCode.TOO_LARGE] if self.body is not None else []
        return tuple(codes)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value of the wire as JSON."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json")
