"""What describes the doors, for programs: ``/openapi.json`` and ``/asyncapi.json``. Pages for people are at ``/docs``.

It must never know what an operation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from livethread_server.http.operation import Operation
from livethread_server.spec.asyncapi import asyncapi
from livethread_server.spec.openapi import openapi


def document_routes(operations: Sequence[Operation], version: str, *, required: bool) -> list[BaseRoute]:
    """Both documents, which anybody may read: they say nothing that the sources do not, but whether a token is
    ``required``."""
    return [
        _route("/openapi.json", openapi(operations, version, required=required)),
        _route("/asyncapi.json", asyncapi(version)),
    ]


def _route(path: str, document: dict[str, Any]) -> Route:
    body = msgspec.json.encode(document)

    async def answer(request: Request) -> Response:
        return Response(body, media_type="application/json", headers={"cache-control": "no-cache"})

    return Route(path, answer)
