"""``livethread chat`` as a process: behind a real terminal, and behind a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from livethread import ConnectError
from livethread.messages import Cancel, Hello
from livethread_server.chat_cli import websocket_url
from tests.fake_server import FakeServer, fake_server

PATIENCE = 60.0
COMMAND = [sys.executable, "-m", "livethread_server.cli", "chat"]
PLAIN = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


class Terminal:
    """A program behind a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        self._shown = ""
        self._come = asyncio.Event()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=PLAIN,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def keys(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def sees(self, text: str) -> None:
        """Come back when the text was shown; what was shown before it does not count again."""
        async with asyncio.timeout(PATIENCE):
            while text not in self._shown:
                self._come.clear()
                await self._come.wait()
        self._shown = self._shown.partition(text)[2]

    async def ends(self) -> int:
        """The exit code."""
        code = await asyncio.to_thread(self.process.wait, PATIENCE)
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        return code

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the program has ended
            self._shown += os.read(self._master, 1 << 16).decode(errors="replace")
        self._come.set()


async def test_at_a_terminal_ctrl_c_ends_the_reply_and_ctrl_d_the_program(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    server.words = ["Good\x1b[2J", " day", "."]
    terminal = Terminal("--thread", "t", "--url", server.url)
    await terminal.sees("Thread t.")
    await terminal.sees("> ")
    terminal.keys("Hello\n")
    await terminal.sees("Good␛[2J")
    terminal.keys("\x03")
    await terminal.sees("(cancelled)")
    assert len(server.sent(Cancel)) == 1
    await terminal.sees("> ")
    server.pace = None
    terminal.keys("Once more\n")
    await terminal.sees(" day.")
    await terminal.sees("> ")
    terminal.keys("\x04")
    assert await terminal.ends() == 0
    assert [message.role for message in server.threads["t"].messages] == ["user", "assistant"] * 2


async def through(server: FakeServer, text: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**PLAIN, "LIVETHREAD_URL": server.url, "OTHER_TOKEN": "from the variable"},
    )
    out, err = await asyncio.wait_for(process.communicate(text.encode()), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_through_a_pipe_come_the_replies_and_nothing_else(server: FakeServer, tmp_path: Path) -> None:
    server.token = "from a file"
    (tmp_path / "token").write_text("from a file\n")
    assert await through(server, "Hello\n", "--token-file", str(tmp_path / "token")) == (0, "Good day.\n", "")
    code, out, err = await through(server, "Hello\n", "--token-env", "OTHER_TOKEN")
    assert (code, out) == (2, "")
    assert err.startswith("livethread: unauthorized")
    assert err.count("\n") == 1
    assert [command.token for command in server.sent(Hello)] == ["from a file", "from the variable"]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/ws"),
        ("https://chat.example/", "wss://chat.example/v1/ws"),
        ("localhost:9", "ws://localhost:9/v1/ws"),
        ("wss://example/behind/a/proxy", "wss://example/behind/a/proxy"),
    ],
)
def test_a_servers_address_names_its_websocket(given: str, url: str) -> None:
    assert websocket_url(given) == url


@pytest.mark.parametrize("given", ["", "ftp://example", "http://"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ConnectError, match="is not the address of a server"):
        websocket_url(given)
