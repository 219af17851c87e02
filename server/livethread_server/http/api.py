"""All operations of the API, and their routes.

It must never know what an operation does.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute

from livethread_server.http import unknown_kind
from livethread_server.http.about import About
from livethread_server.http.contexts import Contexts
from livethread_server.http.door import HttpDoor
from livethread_server.http.events import Events
from livethread_server.http.messages import Messages
from livethread_server.http.operation import Operation
from livethread_server.http.routing import nothing_else, routes
from livethread_server.http.runs import Runs
from livethread_server.http.sharing import share_operation
from livethread_server.http.site import stats_operation
from livethread_server.http.tasks import task_operations
from livethread_server.http.threads import Threads


def api_operations(door: HttpDoor) -> list[Operation]:
    """What can be asked for under ``/v1`` of every server."""
    service = door.service
    rooms = (Threads(service), Messages(service), Runs(service), Events(service), Contexts(service), About(service))
    operations = [operation for room in rooms for operation in room.operations()]
    return [*operations, *task_operations(service.tasks), share_operation(service), stats_operation(service)]


def api_routes(operations: Iterable[Operation], door: HttpDoor) -> list[BaseRoute]:
    """The routes of the operations; whatever else begins with ``/v1`` is not there. A WebSocket's come before."""
    astray = {unknown_kind.SHAPE: unknown_kind.UnknownKind(door.service.tasks.kinds)}
    return [*routes(operations, door, astray=astray), nothing_else("/v1", door)]
