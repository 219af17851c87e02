"""What is answered to who asks for a kind of task that there is not, where a task of that id would be: no operation
that any description names.

It must never know which kinds there are.
"""

from __future__ import annotations

from typing import NoReturn

from livethread.errors import CommandError
from livethread_server.http.call import Call
from livethread_server.http.operation import Operation
from livethread_server.http.problem import StatusError
from livethread_server.http.tasks import KEY, TAG, CreateQuery
from livethread_server.tasks.kind_list import Kinds


def unknown_kind(kinds: Kinds) -> Operation:
    """``POST`` of a path that is a task's: still a method that this does not have, but said as the wire says it."""

    async def refuse(call: Call) -> NoReturn:
        try:
            kinds.get(call.path["task"])
        except CommandError as error:
            refused = StatusError(405, error.code, error.message, **error.details)
            refused.headers = {"allow": "GET, DELETE, HEAD, OPTIONS"}
            raise refused from None
        raise AssertionError("a kind has a path of its own")

    return Operation(
        id="unknown_kind",
        method="POST",
        path="/v1/tasks/{task}",
        tag=TAG,
        summary="Refused.",
        handler=refuse,
        query=CreateQuery,
        headers=(KEY,),
    )
