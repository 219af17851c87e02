"""One operation of the HTTP API as a value: its path, what it takes and gives, and who carries it out.

The routes and the OpenAPI document are both made from these. It must never know what an operation does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from livethread.errors import ErrorCode
from livethread_server.session import Session

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Call(Struct, frozen=True, kw_only=True):
    """One request, checked: ``session`` is who asks, ``path`` and ``headers`` are strings, ``query`` and ``body`` are
    what the operation's types say.
    """

    request: Request
    session: Session
    path: Mapping[str, str] = {}
    query: Any = None
    body: Any = None


Handler = Callable[[Call], Awaitable[Response]]


class Header(Struct, frozen=True):
    """A request header that an operation heeds."""

    name: str
    description: str


class Operation(Struct, frozen=True, kw_only=True):
    """``path`` has its parameters in braces, as in OpenAPI and starlette; all of them are ids. ``query`` is a struct of
    plain fields, ``body`` any type, ``ok`` what a success holds (None: nothing), ``status`` its status.
    ``streams`` names the type of the data of server-sent events, where it can answer with those.
    ``errors`` are the codes that it may refuse with, beside those that all may.
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
    streams: Any = None
    headers: Sequence[Header] = ()
    errors: Sequence[ErrorCode] = ()
    guarded: bool = True


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value of the wire as JSON."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json")
