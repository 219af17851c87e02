"""Whether the server does what its OpenAPI document says, whatever is asked of it: schemathesis with all its checks.

``make test`` asks a little, and always the same; ``make fuzz`` asks much, and something else each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from livethread_server.cli import cli
from tests.postgres import PostgresServer
from tests.serving import ServerProcess

ROOT = Path(__file__).parents[2]
FUZZ = int(os.environ.get("LIVETHREAD_FUZZ", "0"))
HOW = (
    ("--max-examples", str(FUZZ // 100))
    if FUZZ
    else ("--max-examples", "2", "--phases", "examples,fuzzing", "--seed", "1", "--generation-deterministic")
)
SMALL = ("--context", "512", "--sequences", "2", "--task-sequences", "2")
UNHURRIED = ("--message-rate", "1000000", "--message-burst", "1000000")


@pytest.fixture
def open_server(model_path: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with files of its own, which everybody may use."""
    yield from _serving(ServerProcess(tmp_path, model_path, *SMALL, *UNHURRIED))


@pytest.fixture
def guarded_server(
    model_path: Path, tmp_path: Path, postgres_url: str, postgres: PostgresServer
) -> Iterator[ServerProcess]:
    """A server over PostgreSQL that wants tokens."""
    flags = ("--store", postgres.by_password(postgres_url), "--auth", "token")
    yield from _serving(ServerProcess(tmp_path, model_path, *SMALL, *UNHURRIED, *flags))


def _serving(server: ServerProcess) -> Iterator[ServerProcess]:
    server.start()
    yield server
    server.stop()


def test_the_server_does_what_its_document_says(open_server: ServerProcess) -> None:
    _ask(open_server)


def test_so_does_one_over_postgresql_that_wants_tokens(guarded_server: ServerProcess) -> None:
    made = CliRunner().invoke(cli, ["token", "new", "alice", "--state-dir", str(guarded_server.folder / "state")])
    assert made.exit_code == 0, made.output
    _ask(guarded_server, "--header", f"Authorization: Bearer {made.stdout.strip()}")


def _ask(server: ServerProcess, *words: str) -> None:
    """Ask whatever there is to ask, and expect that nothing was wrong, and that the server still works."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "tests/openapi/schemathesis.toml"]
    command += ["run", f"{server.url}/openapi.json", "--no-color", *HOW, *words]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "Traceback" not in server.log.read_text()
    assert server.health() == 200
