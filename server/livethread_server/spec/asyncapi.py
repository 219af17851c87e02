"""The WebSocket as an AsyncAPI 3 document, from the structs that its codec decodes into.

It must never know connections or what a command does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Literal

from livethread.codec import CODECS
from livethread.errors import CloseCode, ErrorCode
from livethread.messages import COMMANDS, EVENTS, SUMMARIES, TASK_EVENTS, Command
from livethread.replies import ErrorBody
from livethread_server.spec.schemas import Schema, Schemas

PATH = "/v1/ws"
ERROR = "error"
_CHANNEL = "#/channels/session"


def asyncapi(version: str) -> dict[str, Any]:
    """The document, as plain JSON values. Reference: https://www.asyncapi.com/docs/reference/specification/v3.0.0"""
    events = _events()
    schemas = wire_schemas()
    messages = {
        **{name: _command(name, kind, schemas) for name, kind in COMMANDS.items()},
        **{_reply_name(name): _reply(name, schemas.of(kind.Ok)) for name, kind in COMMANDS.items()},
        ERROR: _message(ERROR, "A command was refused.", _answer("error", schemas.of(ErrorBody))),
        **{_event_name(name): _message(name, _summary(kind), schemas.of(kind)) for name, kind in events.items()},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "livethread over WebSocket",
            "version": version,
            "description": _description(),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8000", "protocol": "ws", "description": "A server with its defaults."}
        },
        "channels": {"session": _channel(messages)},
        "operations": {**{name: _asking(name) for name in COMMANDS}, "events": _telling(events)},
        "components": {"messages": messages, "schemas": dict(schemas.components)},
    }


def wire_schemas() -> Schemas:
    """The schemas of everything that travels over the socket."""
    told = [*(kind.Ok for kind in COMMANDS.values()), *_events().values(), ErrorBody]
    return Schemas(asked=COMMANDS.values(), told=told)


def _events() -> dict[str, Any]:
    """Every event by a name of its own: what watchers are told has types that subscribers' events have too."""
    told = {f"watch.{name}": kind for name, kind in SUMMARIES.items() if name in EVENTS and EVENTS[name] is not kind}
    return {**EVENTS, **TASK_EVENTS, **told}


def _description() -> str:
    closes = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in CloseCode if code >= 4000)
    return (
        "One frame, one message. A command has an integer `id` of the client's, and gets one reply with the same one; "
        "events have none. The subprotocol chooses the encoding: "
        f"{', '.join(f'`{name}`' for name in CODECS)}. Both hold the same maps. "
        f"Codes of refusals: {', '.join(f'`{code}`' for code in ErrorCode)}. Closes: {closes}."
    )


def _channel(messages: Iterable[str]) -> dict[str, Any]:
    return {
        "address": PATH,
        "title": "A session, from hello to close",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _asking(name: str) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": _CHANNEL},
        "summary": _summary(COMMANDS[name]),
        "messages": _references([name]),
        "reply": {"channel": {"$ref": _CHANNEL}, "messages": _references([_reply_name(name), ERROR])},
    }


def _telling(events: Iterable[str]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": _CHANNEL},
        "summary": "What happens to the threads that the session subscribes to or watches, and to its tasks.",
        "messages": _references(map(_event_name, events)),
    }


def _references(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in names]


def _command(name: str, kind: type[Command], schemas: Schemas) -> dict[str, Any]:
    return _message(name, _summary(kind), schemas.of(kind))


def _reply(name: str, ok: Schema) -> dict[str, Any]:
    return _message(_reply_name(name), f"What `{name}` is answered.", _answer("ok", ok))


def _answer(field: Literal["ok", "error"], inside: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"type": {"const": "reply"}, "id": {"type": "integer"}, field: inside},
        "required": ["type", "id", field],
    }


def _message(name: str, summary: str, payload: Schema) -> dict[str, Any]:
    return {"name": name, "title": name, "summary": summary, "payload": payload}


def _reply_name(name: str) -> str:
    return f"{name}.ok"


def _event_name(name: str) -> str:
    return f"event.{name}"


def _summary(kind: type) -> str:
    """The first paragraph of a struct's docstring; nothing where it has none of its own."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    return " ".join(text.partition("\n\n")[0].split())
