"""What is answered to who asks for a kind of task that there is not, where a task of that id would be.

It must never know which kinds there are.
"""

from __future__ import annotations

from starlette.requests import Request

from livethread.errors import CommandError
from livethread_server.tasks.kind_list import Kinds

SHAPE = "/v1/tasks/{}"


class UnknownKind:
    """``POST`` of a path that is a task's is a method that this does not have, but said as the wire says it."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def __call__(self, request: Request) -> CommandError | None:
        """Why there is no such kind; None for other methods."""
        if request.method != "POST":
            return None
        try:
            self._kinds.get(request.path_params["p0"])
        except CommandError as error:
            return error
        raise AssertionError("a kind has a path of its own")
