"""``livethread chat``: talk from a terminal, or from a program through a pipe, with any livethread server.

It uses nothing but the client, and must never know the server beside it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import typer
from rich.console import Console

import livethread
from livethread import Client, ClientThread, CommandError, ConnectError, ErrorCode, LivethreadError
from livethread_server.chat.commands import do
from livethread_server.chat.lines import Lines
from livethread_server.chat.piped import talk_through
from livethread_server.chat.screen import Screen
from livethread_server.chat.talk import Talk

INTERRUPTED = 130
"""What a program exits with that Ctrl-C has ended, by the shells' custom."""

Thread = Annotated[str | None, typer.Option("--thread", help="The thread to go on with; made where there is none.")]
Url = Annotated[str, typer.Option("--url", envvar="LIVETHREAD_URL", help="The server's address.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="A file with the token, read at every connect.")]
TokenEnv = Annotated[str, typer.Option("--token-env", help="The variable that holds the token where no file does.")]


def chat(
    thread: Thread = None,
    url: Url = "http://127.0.0.1:8000",
    token_file: TokenFile = None,
    token_env: TokenEnv = "LIVETHREAD_TOKEN",
) -> None:
    """Talk on a thread. In a terminal /help shows what there is; through a pipe every line is a message."""
    interactive = sys.stdin.isatty()
    try:
        good = asyncio.run(_chat(websocket_url(url), thread, _token(token_file, token_env), interactive))
    except LivethreadError as error:
        _complain(str(error))
        raise typer.Exit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed at the end
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if not good:
        raise typer.Exit(1)


def websocket_url(url: str) -> str:
    """The WebSocket behind the address of a server, such as ``http://127.0.0.1:8000``. `ConnectError`."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ConnectError(f"--url {url!r} is not the address of a server. Give one like http://127.0.0.1:8000.")
    path = parts.path if parts.path.strip("/") else "/v1/ws"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def _token(file: Path | None, variable: str) -> Callable[[], str | None]:
    """What gives the token for each session, as it is then."""

    def token() -> str | None:
        if file is not None:
            return file.read_text(encoding="utf-8").strip()
        return os.environ.get(variable)

    return token


async def _chat(url: str, name: str | None, token: Callable[[], str | None], interactive: bool) -> bool:
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # no letter may end the conversation
    lines = Lines(sys.stdin.fileno())
    async with livethread.connect(url, token=token, client="livethread chat") as client:
        thread = await _found_or_made(client, name)
        if interactive:
            await _talk(client, thread, lines)
            return True
        return await talk_through(
            thread, lines, _write, lambda sentence: typer.echo(f"livethread: {sentence}", err=True)
        )


async def _talk(client: Client, thread: ClientThread, lines: Lines) -> None:
    screen = Screen(Console(highlight=False, markup=False, emoji=False))
    talk = Talk(client, lines, screen, do)
    await talk.open(thread)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, talk.interrupt)
    try:
        await talk.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _found_or_made(client: Client, name: str | None) -> ClientThread:
    if name is None:
        return await client.create()
    thread = client.thread(name)
    try:
        await thread.attach()
    except CommandError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        thread = await client.create(thread=name)
    return thread


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _complain(sentence: str) -> None:
    typer.echo(f"livethread: {sentence}", err=True)
