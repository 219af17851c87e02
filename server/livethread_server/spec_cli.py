"""``livethread spec``: the documents that describe a server's doors.

It must never know how they are made.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from livethread_server.spec.asyncapi import asyncapi, wire_schemas

Document = Literal["asyncapi", "schemas"]


def spec(
    document: Annotated[Document, typer.Argument(help="Which one: the socket's or the types of the wire.")],
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
    if name == "asyncapi":
        return asyncapi(version)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": dict(wire_schemas().components)}
