"""Operations as routes: each request is let in, read, carried out and answered, or refused as a problem.

It must never know what an operation does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread_server.http.call import Call
from livethread_server.http.connection import connection_of
from livethread_server.http.door import HttpDoor
from livethread_server.http.operation import Operation
from livethread_server.http.problem import StatusError, internal, refusal
from livethread_server.http.reading import QueryReader, path_ids, read_body
from livethread_server.logs import bound
from livethread_server.session import Session

log = logging.getLogger(__name__)

INSTANCE = b"livethread-instance"
Refuse = Callable[[CommandError], Response]
Astray = Callable[[Request], CommandError | None]
"""Says what is wrong with a request whose method a path does not have, where it knows better than that."""


def routes(
    operations: Iterable[Operation],
    door: HttpDoor,
    refuse: Refuse = refusal,
    astray: Mapping[str, Astray] | None = None,
) -> list[BaseRoute]:
    """A route for each path; ``refuse`` says what a refusal looks like. Paths that differ only in their parameters'
    names are one. ``astray`` is asked by the paths' shapes."""
    knowing = astray or {}
    shapes: dict[str, list[Operation]] = {}
    for operation in operations:
        shapes.setdefault(operation.shape, []).append(operation)
    return [
        Route(_numbered(shape, free=any(one.free for one in found)), Resource(found, door, refuse, knowing.get(shape)))
        for shape, found in shapes.items()
    ]


def nothing_else(prefix: str, door: HttpDoor, refuse: Refuse = refusal) -> BaseRoute:
    """To stand behind the routes of all paths that begin with ``prefix``: whatever else is asked for is not there."""
    return Route(f"{prefix}/{{p0:path}}", Resource((), door, refuse))


class Resource:
    """What is at one path, as an ASGI app: an operation for each of some methods."""

    def __init__(
        self, operations: Sequence[Operation], door: HttpDoor, refuse: Refuse, astray: Astray | None = None
    ) -> None:
        self._astray = astray
        self._endpoints = {str(one.method): _Endpoint(one, door) for one in operations}
        assert len(self._endpoints) == len(operations), "two operations have one method and path"
        self._door = door
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        session = self._door.enter()
        try:
            with bound(session=session.id):
                answer = await self._answer(session, request)
                if answer is not None:
                    await answer(scope, receive, _signed(send, self._door.instance))
        finally:
            self._door.leave(session)

    async def _answer(self, session: Session, request: Request) -> Response | None:
        """What to answer; None where nobody waits for it."""
        try:
            if request.method == "OPTIONS" and self._endpoints:
                return Response(headers={"allow": self._allowed()})
            return await self._find(request).carry_out(session, request)
        except ClientDisconnect:
            return None
        except CommandError as error:
            return self._refuse(error)
        except Exception:
            log.exception("%s %r failed", request.method, request.url.path)
            return self._refuse(internal())

    def _find(self, request: Request) -> _Endpoint:
        if not self._endpoints:
            sentence = f"There is nothing at {request.url.path[:200]!r}. The API is described in README and /docs."
            raise CommandError(ErrorCode.NOT_FOUND, sentence)
        endpoint = self._endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None or (request.method == "HEAD" and endpoint.operation.streams):
            raise self._not_here(request)
        return endpoint

    def _not_here(self, request: Request) -> StatusError:
        """A method that the path does not have (RFC 9110, 15.5.6)."""
        sentence = f"{request.method} is not for this path. Use one of {self._allowed()}."
        error = (self._astray and self._astray(request)) or CommandError(ErrorCode.BAD_REQUEST, sentence)
        refused = StatusError(405, error.code, error.message, **error.details)
        refused.headers = {"allow": self._allowed()}
        return refused

    def _allowed(self) -> str:
        get = self._endpoints.get("GET")
        head = ["HEAD"] if get is not None and not get.operation.streams else []
        return ", ".join([*self._endpoints, *head, "OPTIONS"])


class _Endpoint:
    """An operation, ready to be carried out."""

    def __init__(self, operation: Operation, door: HttpDoor) -> None:
        self.operation = operation
        self._names = operation.parameters
        self._query = QueryReader(operation.query)
        heeded = {one.name for one in operation.headers}
        # Not to heed a condition would be to do what was asked not to be done, and not to heed a key to do it twice.
        self._ignores_version = operation.method != "GET" and "If-Match" not in heeded
        self._ignores_key = operation.method in ("POST", "PATCH") and "Idempotency-Key" not in heeded
        self._door = door

    async def carry_out(self, session: Session, request: Request) -> Response:
        """The answer of an operation. `CommandError` where it is refused, `ClientDisconnect` where nobody waits."""
        operation, bounds = self.operation, self._door.bounds
        connection = connection_of(request.scope)
        if not connection.take():
            raise _too_fast(bounds.message_rate)
        if self._ignores_version and "if-match" in request.headers:
            raise bad_request("If-Match", "This request cannot insist on a version. Leave If-Match out.")
        if self._ignores_key and "idempotency-key" in request.headers:
            raise _keyless(operation)
        if operation.guarded:
            await self._door.let_in(session, request)
        values = tuple(request.path_params[f"p{index}"] for index in range(len(self._names)))
        call = Call(
            request=request,
            session=session,
            connection=connection,
            path=dict(zip(self._names, values, strict=True)) if operation.free else path_ids(self._names, values),
            query=self._query.read(request.scope["query_string"]),
            body=None if operation.body is None else await read_body(request, operation.body, bounds.body_bytes),
            beat=bounds.ping_seconds,
            staying=self._door.stay,
        )
        return await operation.handler(call)


def _keyless(operation: Operation) -> CommandError:
    way = f"; {operation.named} makes it safe to send twice" if operation.named else ""
    return bad_request("Idempotency-Key", f"This request heeds no key. Leave Idempotency-Key out{way}.")


def _numbered(shape: str, *, free: bool) -> str:
    """A shape as starlette writes paths: its parameters are ``p0``, ``p1`` and so on. At the end of a ``free`` one
    stands any path."""
    numbers = count()
    path = "".join(part if part != "{}" else f"{{p{next(numbers)}}}" for part in _parts(shape))
    return path[:-1] + ":path}" if free and path.endswith("}") else path


def _parts(shape: str) -> Iterable[str]:
    first, *others = shape.split("{}")
    yield first
    for other in others:
        yield "{}"
        yield other


def _signed(send: Send, instance: str) -> Send:
    """Every answer says which start of which server it is from."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (INSTANCE, instance.encode())]}
        await send(message)

    return sending


def _too_fast(rate: float) -> CommandError:
    return CommandError(
        ErrorCode.RATE_LIMITED,
        f"Requests come faster than the {rate:g} a second that a connection may send. Wait a moment.",
        per_second=rate,
    )
