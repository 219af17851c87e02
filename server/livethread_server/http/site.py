"""Health, figures, and the web client's files.

It must never know what a command does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from livethread.errors import CommandError
from livethread_server.http.call import Call
from livethread_server.http.operation import ENGINE_ERRORS, Operation, json_answer
from livethread_server.metrics import CONTENT_TYPE, Metrics
from livethread_server.service import Service


class WebClientFiles(StaticFiles):
    """The web client: hashed assets are kept for ever, the page that names them is asked for each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file with how long it may be kept (RFC 9111, 5.2.2)."""
        response = await super().get_response(path, scope)
        hashed = path.startswith("assets/") and not path.endswith(".md")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def stats_operation(service: Service) -> Operation:
    """``GET /v1/stats``: the engine's figures."""

    async def stats(call: Call) -> Response:
        return json_answer(await service.stats())

    return Operation(
        id="stats",
        method="GET",
        path="/v1/stats",
        tag="server",
        summary="What is kept where, and what it was good for.",
        handler=stats,
        ok=dict[str, Any],
        errors=ENGINE_ERRORS,
    )


def metrics_operation(service: Service, metrics: Metrics) -> Operation:
    """``GET /metrics``; the engine's figures are left out while it cannot be asked."""

    async def page(call: Call) -> Response:
        try:
            engine = await service.stats()
        except CommandError:
            engine = None
        return Response(metrics.page(engine), media_type=CONTENT_TYPE)

    return Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        tag="server",
        summary="Figures for Prometheus.",
        handler=page,
        ok=str,
        media_type="text/plain",
    )


def http_routes(service: Service, webclient: Path | None) -> list[BaseRoute]:
    """``GET /health`` and, where they were built, the web client's files at ``/``."""

    async def health(request: Request) -> Response:
        trouble = service.trouble
        if trouble is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": trouble.code, "reason": trouble.message}, status_code=503)

    async def no_webclient(request: Request) -> Response:
        return PlainTextResponse(
            "This server was installed without its web client. Run 'make webclient' and start it again, "
            "or connect a client to /v1/ws.",
            status_code=404,
        )

    routes: list[BaseRoute] = [Route("/health", health)]
    if webclient is None:
        return [*routes, Route("/", no_webclient)]
    return [*routes, Mount("/", WebClientFiles(directory=webclient, html=True))]
