from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from livethread_server.cli import cli
from livethread_server.state_folder import state_folder
from tests.cached import files, put_cache

FIGURES = {"threads": {"live": 2}, "tiers": {"ram": {"bytes": 3 << 20, "budget": 1 << 30}}, "hit_rates": {"live": 0.5}}


def ask(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["cache", *arguments, "--state-dir", str(state)])


class Answering(BaseHTTPRequestHandler):
    """A running server's answer."""

    token: str | None = None

    def do_GET(self) -> None:
        known = self.token is None or self.headers["Authorization"] == f"Bearer {self.token}"
        self.send_response((200 if known else 401) if self.path == "/v1/stats" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(FIGURES).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put_cache(tmp_path / "cache")


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_stats_of_a_stopped_servers_cache(folder: Path) -> None:
    lines = ask(folder.parent, "stats").stdout.splitlines()
    assert "threads.disk: 2" in lines
    assert "tiers.disk.chunks: 3" in lines
    assert any(line.startswith("saved_bytes: 3.") and line.endswith(" KiB") for line in lines)
    assert json.loads(ask(folder.parent, "stats", "--json").stdout)["threads"] == {"disk": 2}


def test_stats_of_a_running_server_are_its_own(folder: Path, address: str) -> None:
    with state_folder(folder.parent, address):
        assert json.loads(ask(folder.parent, "stats", "--json").stdout) == FIGURES
        lines = ask(folder.parent, "stats").stdout.splitlines()
    assert lines == [
        "threads.live: 2",
        "tiers.ram.bytes: 3.0 MiB",
        "tiers.ram.budget: 1.0 GiB",
        "hit_rates.live: 0.5",
    ]


def test_a_server_that_wants_a_token_gets_it_from_a_variable(
    folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "token", "secret")
    with state_folder(folder.parent, address):
        for given, code in (("", 2), ("wrong", 2), ("secret", 0)):
            monkeypatch.setenv("LIVETHREAD_TOKEN", given)
            result = ask(folder.parent, "stats", "--json")
            assert result.exit_code == code
            assert code == 0 or "Put a token into LIVETHREAD_TOKEN" in result.stderr
    assert json.loads(result.stdout) == FIGURES


def test_a_server_that_does_not_answer_is_named(folder: Path) -> None:
    with state_folder(folder.parent, "127.0.0.1:1"):
        result = ask(folder.parent, "stats")
    assert result.exit_code == 2
    assert "The server at 127.0.0.1:1 does not answer" in result.stderr


@pytest.mark.parametrize("command", ["prune", "verify"])
def test_nothing_is_changed_under_a_running_server(folder: Path, command: str) -> None:
    before = files(folder)
    with state_folder(folder.parent, "127.0.0.1:1"):
        result = ask(folder.parent, command)
    assert result.exit_code == 2
    assert "Another server uses the state folder" in result.stderr
    assert files(folder) == before


def test_pruning_and_verifying_say_what_they_did(folder: Path) -> None:
    assert ask(folder.parent, "verify").stdout == "3 files are as they were written, 0 were damaged and removed.\n"
    files(folder)[min(files(folder))].write_bytes(b"?")
    result = ask(folder.parent, "verify")
    assert (result.exit_code, "1 were damaged" in result.stdout) == (1, True)
    assert ask(folder.parent, "prune", "--to", "0").stdout.startswith("2 files with ")
    assert ask(folder.parent, "prune").stdout == "0 files with 0 bytes were removed.\n"
    assert "--to 'much' is not a size" in ask(folder.parent, "prune", "--to", "much").stderr


def test_a_state_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = ask(tmp_path / "nowhere", "stats")
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "There is no state folder" in result.stderr
