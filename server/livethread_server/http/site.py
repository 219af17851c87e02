"""Health, figures, and the web client's files.

It must never know what a command does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from livethread.errors import CommandError
from livethread_server.auth.gate import Gate
from livethread_server.metrics import CONTENT_TYPE, Metrics
from livethread_server.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]


class WebClientFiles(StaticFiles):
    """The web client: hashed assets are kept for ever, the page that names them is asked for each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file with how long it may be kept (RFC 9111, 5.2.2)."""
        response = await super().get_response(path, scope)
        hashed = path.startswith("assets/") and not path.endswith(".md")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def guarded(gate: Gate, endpoint: Endpoint) -> Endpoint:
    """The endpoint for those only who bring a token, ``Authorization: Bearer`` (RFC 6750, 2.1), where the server
    wants one; 401 for others."""

    async def checked(request: Request) -> Response:
        try:
            await gate.check(_bearer(request))
        except CommandError as error:
            headers = {"www-authenticate": "Bearer"}
            return JSONResponse({"status": error.code, "reason": error.message}, status_code=401, headers=headers)
        return await endpoint(request)

    return checked


def _bearer(request: Request) -> str | None:
    """The token of a request; None where it brings none, or several."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None


def metrics_route(service: Service, metrics: Metrics) -> Route:
    """``GET /metrics``; the engine's figures are left out while it cannot be asked."""

    async def page(request: Request) -> Response:
        try:
            engine = await service.stats()
        except CommandError:
            engine = None
        return Response(metrics.page(engine), media_type=CONTENT_TYPE)

    return Route("/metrics", guarded(service.gate, page))


def http_routes(service: Service, webclient: Path | None) -> list[BaseRoute]:
    """``GET /health``, ``GET /v1/stats`` and, where they were built, the web client's files at ``/``."""

    async def health(request: Request) -> Response:
        trouble = service.trouble
        if trouble is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": trouble.code, "reason": trouble.message}, status_code=503)

    async def stats(request: Request) -> Response:
        try:
            return JSONResponse(await service.stats())
        except CommandError as error:
            return JSONResponse({"status": error.code, "reason": error.message}, status_code=503)

    async def no_webclient(request: Request) -> Response:
        return PlainTextResponse(
            "This server was installed without its web client. Run 'make webclient' and start it again, "
            "or connect a client to /v1/ws.",
            status_code=404,
        )

    routes: list[BaseRoute] = [Route("/health", health), Route("/v1/stats", guarded(service.gate, stats))]
    if webclient is None:
        return [*routes, Route("/", no_webclient)]
    return [*routes, Mount("/", WebClientFiles(directory=webclient, html=True))]
