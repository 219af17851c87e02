"""What pages of other origins may do, as their browsers ask (Fetch, 3.2).

Origins that are not allowed do not come this far: `access` has refused them. It must never know what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEEDED = ("*",)
"""Headers of requests that pages may set: any, as clients' libraries add their own. What they mean is not trusted."""
TOLD = ("ETag", "Livethread-Instance", "Location", "Preference-Applied", "Retry-After")
"""Headers of answers that pages may read."""
SECONDS = 600
"""How long a browser may remember what it was told."""


def cross_origin(app: ASGIApp, origins: Iterable[str]) -> ASGIApp:
    """The app, for pages of these origins too."""
    return CORSMiddleware(
        app,
        allow_origins=tuple(origin.lower().rstrip("/") for origin in origins),
        allow_methods=METHODS,
        allow_headers=HEEDED,
        expose_headers=TOLD,
        max_age=SECONDS,
    )
