"""``livethread token``: tokens are given out, listed and revoked; a running server hears of it within a second."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict

from livethread.errors import LivethreadError
from livethread_server import options
from livethread_server.auth.admission import is_principal
from livethread_server.auth.digest import digest_of
from livethread_server.auth.token_file import Records, TokenFile, TokenRecord, new_token
from livethread_server.settings import TOKEN_FILE, SettingsError
from livethread_server.stamps import at, new_id
from livethread_server.state_folder import default_state_dir

token = typer.Typer(help="Give out and revoke tokens for --auth token.", no_args_is_help=True, rich_markup_mode=None)

_TIME = re.compile(r"(\d{1,5})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

Name = Annotated[str, typer.Argument(help="Whose token it is: the principal's id.")]
Which = Annotated[str, typer.Argument(help="A token's id, or a name: then all tokens of that name.")]
Expires = Annotated[
    str | None, typer.Option("--expires", help="When it ends, such as 12h, 30d or 8w; never otherwise.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]


@token.command()
def new(
    name: Name, expires: Expires = None, state_dir: options.StateDir = None, auth_tokens: options.AuthTokens = None
) -> None:
    """Give out a token. It is shown now and never again."""
    with _sentences():
        if not is_principal(name):
            raise SettingsError(f"{name[:300]!r} is no name of 1 to 256 characters that can be shown. Choose another.")
        secret, now = new_token(), time.time()
        ends = None if expires is None else now + _seconds(expires)
        made = TokenRecord(id=new_id("k"), name=name, digest=digest_of(secret), created=now, expires=ends)
        _file(state_dir, auth_tokens).change(lambda records: [*records, made])
        typer.echo(secret)
        typer.echo(f"This is token {made.id} of {name!r}. Keep it well: it is not shown again.", err=True)


@token.command(name="list")
def list_tokens(
    as_json: AsJson = False, state_dir: options.StateDir = None, auth_tokens: options.AuthTokens = None
) -> None:
    """Show whose tokens there are, never the tokens."""
    with _sentences():
        records = _file(state_dir, auth_tokens).read()
        if as_json:
            shown = [{name: value for name, value in asdict(one).items() if name != "digest"} for one in records]
            typer.echo(json.dumps(shown))
        else:
            for record in records:
                typer.echo(_line(record, time.time()))


@token.command()
def revoke(which: Which, state_dir: options.StateDir = None, auth_tokens: options.AuthTokens = None) -> None:
    """Make tokens worthless; their sessions end."""
    with _sentences():
        gone: list[TokenRecord] = []

        def without(records: Records) -> Records:
            gone.extend(_named(records, which))
            return [record for record in records if record not in gone]

        _file(state_dir, auth_tokens).change(without)
        typer.echo(f"{len(gone)} {'token was' if len(gone) == 1 else 'tokens were'} revoked.")


def _named(records: Records, which: str) -> Records:
    """The token with this id, or those of this name. `SettingsError` where there are none."""
    found = [one for one in records if one.id == which] or [one for one in records if one.name == which]
    if not found:
        raise SettingsError(f"There is no token {which!r}. 'livethread token list' shows which there are.")
    return found


def _file(state_dir: Path | None, auth_tokens: Path | None) -> TokenFile:
    return TokenFile(auth_tokens or (state_dir or default_state_dir()) / TOKEN_FILE)


def _seconds(text: str) -> int:
    found = _TIME.fullmatch(text.strip())
    if found is None or not int(found.group(1)):
        raise SettingsError(f"--expires {text!r} is no time. Give a number with s, m, h, d or w, such as 30d.")
    return int(found.group(1)) * _SECONDS[found.group(2)]


def _line(record: TokenRecord, now: float) -> str:
    ends = "never expires" if record.expires is None else f"expires {at(record.expires)}"
    if record.expires is not None and record.expires <= now:
        ends = f"expired {at(record.expires)}"
    return f"{record.id}  {record.name}  made {at(record.created)}  {ends}"


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except LivethreadError as error:
        typer.echo(f"livethread: {error}", err=True)
        raise typer.Exit(2) from None
