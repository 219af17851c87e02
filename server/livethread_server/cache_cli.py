"""``livethread cache``: the contexts that a server keeps on disk, for its operator.

``stats`` asks the running server where there is one; ``prune`` and ``verify`` need the state folder for themselves.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from livethread.errors import LivethreadError
from livethread_server import options
from livethread_server.disk_cache import DiskCache
from livethread_server.settings import SettingsError, byte_size
from livethread_server.state_folder import InUse, default_state_dir, state_folder
from livethread_server.tiers import cache_folder

T = TypeVar("T")
ASK_SECONDS = 10.0
"""How long a running server may take to answer."""
TOKEN_VARIABLE = "LIVETHREAD_TOKEN"
"""The variable with the token for a server that wants one."""

cache = typer.Typer(help="Look after the contexts that are kept on disk.", no_args_is_help=True, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]
To = Annotated[
    str | None, typer.Option("--to", help="Also remove what was used longest ago, until this size is left; 0 is all.")
]


@cache.command()
def stats(state_dir: options.StateDir = None, as_json: AsJson = False) -> None:
    """Show what is where, what was reused, and what sharing saves."""
    with _sentences():
        folder = state_dir or default_state_dir()
        try:
            figures = _alone(folder, lambda cache: cache.stats())
        except InUse as error:
            if not error.address:
                raise
            figures = _ask(error.address)
        typer.echo(json.dumps(figures) if as_json else "\n".join(_lines(figures)))


@cache.command()
def prune(state_dir: options.StateDir = None, to: To = None) -> None:
    """Remove contexts that belong to no thread. No server may be using the state folder."""
    with _sentences():
        size = None if to is None else byte_size("--to", to)
        files, bytes_gone = _alone(state_dir or default_state_dir(), lambda cache: cache.prune(size))
        typer.echo(f"{files} files with {_readable(bytes_gone)} were removed.")


@cache.command()
def verify(state_dir: options.StateDir = None) -> None:
    """Check every file and remove damaged ones. Exit code 1 where there were any; no server may be using the folder."""
    with _sentences():
        good, bad = _alone(state_dir or default_state_dir(), lambda cache: cache.verify())
        typer.echo(f"{good} files are as they were written, {bad} were damaged and removed.")
        if bad:
            raise typer.Exit(1)


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except LivethreadError as error:
        typer.echo(f"livethread: {error}", err=True)
        raise typer.Exit(2) from None


def _alone(folder: Path, work: Callable[[DiskCache], T]) -> T:
    """Do something with the cache of a state folder that no server uses."""
    if not folder.is_dir():
        raise SettingsError(f"There is no state folder {folder}. Name another with --state-dir.")
    with state_folder(folder):
        try:
            return work(DiskCache(cache_folder(folder)))
        except OSError as error:
            raise SettingsError(f"The cache in {folder} cannot be used: {error}.") from None


def _ask(address: str) -> dict[str, Any]:
    url = f"http://{address}/v1/stats"
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=ASK_SECONDS) as answer:
            figures: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(400).decode(errors="replace")
        remedy = f"Put a token into {TOKEN_VARIABLE}." if error.code == 401 else "Try again in a moment."
        raise SettingsError(f"The server at {address} does not answer {url}: {said}. {remedy}") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"The server at {address} does not answer {url}: {error}. Try again in a moment.") from None
    return figures


def _lines(figures: dict[str, Any], path: str = "") -> Iterator[str]:
    """The figures one a line, each with its path; bytes as people read them."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{path}{name}.")
        elif name.endswith(("bytes", "budget")):
            yield f"{path}{name}: {_readable(value)}"
        else:
            yield f"{path}{name}: {value}"


def _readable(size: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
