"""The HTTP doors as an OpenAPI 3.1 document, from the operations that their routes are made of.

It must never know how an operation is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from livethread.errors import ErrorCode
from livethread.model import Id, Sampling
from livethread_server.http.operation import Operation, StreamEvent
from livethread_server.spec.examples import EXAMPLES
from livethread_server.spec.schemas import Schema, Schemas

JSON = "application/json"
EVENTS = "text/event-stream"


def openapi(operations: Sequence[Operation], version: str, *, required: bool = False) -> dict[str, Any]:
    """The document, as plain JSON values; ``required`` says that this server wants a token of everybody. Reference:
    https://spec.openapis.org/oas/v3.1.1"""
    asked = [kind for operation in operations for kind in (operation.query, operation.body) if kind is not None]
    told = [kind for operation in operations for kind in (operation.ok, operation.accepted) if kind is not None]
    events = [one.data for operation in operations for one in map(_named, operation.streams) if one.data is not None]
    refusals = [operation.refusals.type for operation in operations]
    heeded = [header.type for operation in operations for header in operation.headers]
    schemas = Schemas(asked=[Id, *asked, *heeded], told=[*refusals, *told, *events], closed=[Sampling])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _Described(operation, schemas).document()
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "livethread over HTTP",
            "version": version,
            "summary": "Threads, runs and tasks, and what programs written for OpenAI's API expect.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": dict(schemas.components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Without --auth a server asks for none: the second alternative.
        "security": [{"token": []}] if required else [{"token": []}, {}],
    }


class _Described:
    """One operation in OpenAPI's words."""

    def __init__(self, operation: Operation, schemas: Schemas) -> None:
        self._operation = operation
        self._schemas = schemas

    def document(self) -> dict[str, Any]:
        operation = self._operation
        described: dict[str, Any] = {
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "parameters": [*self._path(), *self._query(), *self._headers()],
            "responses": self._responses(),
        }
        if operation.body is not None:
            content: Schema = {"schema": self._schemas.of(operation.body)}
            if operation.id in EXAMPLES:
                content["example"] = EXAMPLES[operation.id]
            # Where no field must be there, no body need be.
            whole = self._schemas.whole(operation.body)
            needed = bool(whole.get("required")) or "properties" not in whole
            described["requestBody"] = {"required": needed, "content": {JSON: content}}
        return described if operation.guarded else {**described, "security": []}

    def _path(self) -> Iterator[Schema]:
        for name in self._operation.parameters:
            schema = {"type": "string", "minLength": 1} if self._operation.free else self._schemas.of(Id)
            yield {"name": name, "in": "path", "required": True, "schema": schema}

    def _query(self) -> Iterator[Schema]:
        if self._operation.query is None:
            return
        whole = self._schemas.whole(self._operation.query)
        for name, schema in whole.get("properties", {}).items():
            required = name in whole.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": _without_null(schema)}

    def _headers(self) -> Iterator[Schema]:
        for header in self._operation.headers:
            schema = self._schemas.of(header.type)
            yield {"name": header.name, "in": "header", "description": header.description, "schema": schema}

    def _responses(self) -> dict[str, Any]:
        operation = self._operation
        answers = {str(operation.status): self._success(operation.status, events=bool(operation.streams))}
        answers |= {str(status): self._success(status, events=False) for status in operation.more_statuses}
        codes = dict.fromkeys((*operation.errors, *operation.usual_errors))
        by_status: dict[int, list[ErrorCode]] = {}
        for code in codes:
            by_status.setdefault(operation.refusals.statuses[code], []).append(code)
        if operation.body is not None:
            by_status.setdefault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, []).append(ErrorCode.BAD_REQUEST)
        for status, of_status in sorted(by_status.items()):
            answers[str(int(status))] = self._problem(", ".join(f"`{code}`" for code in of_status))
        return answers

    def _success(self, status: int, *, events: bool) -> Schema:
        operation, content = self._operation, dict[str, Any]()
        held = operation.accepted if status == HTTPStatus.ACCEPTED and operation.accepted is not None else operation.ok
        if held is not None and status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            content[operation.media_type] = {"schema": self._schemas.of(held)}
        if events:
            # Before OpenAPI 3.2 gives it a name of its own, the schema of a stream is that of each of its events.
            refused = StreamEvent(operation.refusals.event, operation.refusals.type)
            kinds = [*map(_named, operation.streams), refused]
            content[EVENTS] = {"schema": {"anyOf": [self._event(kind) for kind in kinds]}}
        answer: Schema = {"description": HTTPStatus(status).phrase}
        if operation.tells:
            told = {"schema": {"type": "string"}}
            answer["headers"] = {header.name: {"description": header.description, **told} for header in operation.tells}
        return {**answer, "content": content} if content else answer

    def _event(self, kind: StreamEvent) -> Schema:
        """A server-sent event as its fields (WHATWG HTML, 9.2.6), all of which are text."""
        name = {"event": {"const": kind.name}} if kind.name else {}
        data: Schema = {"const": kind.text}
        if not kind.text:
            data = {"type": "string", "contentMediaType": JSON, "contentSchema": self._schemas.of(kind.data)}
        fields = {**name, "data": data, "id": {"type": "string"}}
        return {"type": "object", "properties": fields, "required": [*name, "data"]}

    def _problem(self, sentence: str) -> Schema:
        refusals = self._operation.refusals
        schema = self._schemas.of(refusals.type)
        return {"description": sentence, "content": {refusals.media_type: {"schema": schema}}}


def _named(kind: Any) -> StreamEvent:
    """An event of a stream; the wire's are named as their tags are."""
    return kind if isinstance(kind, StreamEvent) else StreamEvent(kind.__struct_config__.tag or "", kind)


def _without_null(schema: Schema) -> Schema:
    """A query parameter is left out rather than null."""
    options: list[Schema] = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1 or "anyOf" not in schema:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    default = schema.get("default")
    return options[0] | rest | ({} if default is None else {"default": default})
