"""``livethread spec``: the documents that describe a server's doors.

It must never know how they are made.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
import typer

from livethread_server.http.api import api_operations
from livethread_server.http.openai.door import OpenAiDoor
from livethread_server.spec.asyncapi import asyncapi, wire_schemas
from livethread_server.spec.openapi import openapi
from livethread_server.tasks.kind_list import Kinds
from livethread_server.tasks.kinds.builtin import builtin_kinds
from livethread_server.tasks.plugins import installed_kinds

Document = Literal["openapi", "asyncapi", "schemas"]


class Undone:
    """Stands for all that carries operations out, where they are only described; only what kinds of tasks there are
    is known."""

    def __init__(self) -> None:
        self.kinds = Kinds((*builtin_kinds(), *installed_kinds()))

    def __getattr__(self, name: str) -> Any:
        return self


def spec(
    document: Annotated[Document, typer.Argument(help="HTTP's, the socket's, or the JSON Schemas of the wire.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file to write it to.")] = None,
) -> None:
    """Print the document that describes a door of the server."""
    text = msgspec.json.format(msgspec.json.encode(_document(document)), indent=2).decode() + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _document(name: Document) -> dict[str, Any]:
    version = importlib.metadata.version("livethread")
    if name == "openapi":
        undone = cast(Any, Undone())
        return openapi([*api_operations(undone), *OpenAiDoor(undone, undone, undone, version).operations()], version)
    if name == "asyncapi":
        return asyncapi(version)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": dict(wire_schemas().components)}
