"""All operations of the API, and their routes.

It must never know what an operation does.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute

from livethread_server.http.door import HttpDoor
from livethread_server.http.operation import Operation
from livethread_server.http.routing import nothing_else, routes
from livethread_server.http.site import stats_operation


def api_operations(door: HttpDoor) -> list[Operation]:
    """What can be asked for under ``/v1`` of every server."""
    return [stats_operation(door.service)]


def api_routes(operations: Iterable[Operation], door: HttpDoor) -> list[BaseRoute]:
    """The routes of the operations; whatever else begins with ``/v1`` is not there. A WebSocket's come before."""
    return [*routes(operations, door), nothing_else("/v1", door)]
