"""The HTTP door: health, figures, and the web client's files.

It must never know what a command does.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from livethread.errors import CommandError
from livethread_server.service import Service


class WebClientFiles(StaticFiles):
    """The web client: hashed assets are kept for ever, the page that names them is asked for each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file with how long it may be kept (RFC 9111, 5.2.2)."""
        response = await super().get_response(path, scope)
        hashed = path.startswith("assets/") and not path.endswith(".md")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


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

    routes: list[BaseRoute] = [Route("/health", health), Route("/v1/stats", stats)]
    if webclient is None:
        return [*routes, Route("/", no_webclient)]
    return [*routes, Mount("/", WebClientFiles(directory=webclient, html=True))]
