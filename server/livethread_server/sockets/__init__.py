"""Sockets that cannot be held open for nothing: uvicorn's protocols with every bound that they lack.

The one door to uvicorn beside whoever starts it. It must never know sessions, commands or events.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from livethread_server.bounds import Bounds
from livethread_server.sockets.http import HttpProtocol
from livethread_server.sockets.websocket import SocketProtocol


def protocols(bounds: Bounds) -> dict[str, Any]:
    """The part of `uvicorn.Config` that says how sockets are spoken with."""
    return {
        "http": partial(HttpProtocol, bounds=bounds),
        "ws": partial(SocketProtocol, bounds=bounds),
        "ws_max_size": bounds.frame_bytes,
        "ws_per_message_deflate": False,
        "proxy_headers": False,
        "access_log": False,
    }
