from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from livethread_server.settings import SettingsError
from livethread_server.state_folder import state_folder


def serve(folder: Path, *flags: str, model: Path | str = "nowhere.gguf") -> str:
    """What a server that cannot start says; it must end with 2 and without a traceback."""
    command = [sys.executable, "-m", "livethread_server.cli", "serve", "--state-dir", str(folder / "state")]
    done = subprocess.run(
        [*command, "--model", str(model), *flags],
        cwd=folder,
        env={**os.environ, "COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def is_one_sentence(said: str) -> bool:
    return said.startswith("livethread: ") and said.endswith(".\n") and said.count("\n") == 1


def a_file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = serve(tmp_path)
    assert is_one_sentence(said)
    assert "nowhere.gguf" in said


def test_a_truncated_model_is_refused(tmp_path: Path, model_path: Path) -> None:
    with model_path.open("rb") as file:
        half = a_file(tmp_path, "half.gguf", file.read(50_000_000))
    said = serve(tmp_path, model=half)
    assert is_one_sentence(said)
    assert "half.gguf" in said


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    said = serve(tmp_path, model=a_file(tmp_path, "letter.gguf", "Dear reader"))
    assert is_one_sentence(said)
    assert "not a GGUF file" in said


def test_a_host_others_can_reach_is_refused(tmp_path: Path) -> None:
    said = serve(tmp_path, "--host", "0.0.0.0")
    assert is_one_sentence(said)
    assert "--host 0.0.0.0 is not a loopback address" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--auth", "jwt"), "either --jwt-key FILE or --jwt-jwks"),
        (
            ("--auth", "jwt", "--jwt-key", "nowhere", "--jwt-algorithms", "none"),
            "--jwt-algorithms does not know 'none'",
        ),
        (("--allow-origin", "null"), "--allow-origin null"),
    ],
)
def test_authentication_that_cannot_work_is_refused(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    said = serve(tmp_path, *flags)
    assert is_one_sentence(said)
    assert words in said


def test_keys_that_cannot_be_read_are_refused(tmp_path: Path, model_path: Path) -> None:
    flags = ("--host", "0.0.0.0", "--allow-host", "chat.lan", "--auth", "jwt", "--jwt-key", "nowhere")
    said = serve(tmp_path, *flags, model=model_path)
    assert is_one_sentence(said)
    assert "--jwt-key nowhere cannot be read" in said


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = serve(tmp_path, "--port", str(port))
    assert is_one_sentence(said)
    assert f"127.0.0.1:{port} cannot be listened on" in said


def test_a_state_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    file = a_file(tmp_path, "file", "")
    said = serve(tmp_path, "--state-dir", str(file / "state"))
    assert is_one_sentence(said)
    assert "cannot be used" in said


def test_a_state_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(SettingsError, match="Another server uses")
    with state_folder(tmp_path), refused, state_folder(tmp_path):
        pass
    with state_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("colour = 1", "sets 'colour', which is not a setting"),
        ("port = [", "cannot be read as TOML"),
        (b"\xff", "cannot be read as TOML"),
        ("port = 'many'", "--port"),
        ("port = {a = 1}", "--port"),
        ("state_dir = 5", "--state-dir"),
        ("allow-host = 'one'", "--allow-host"),
        ("[serve]\nport = 1", "sets 'serve'"),
    ],
)
def test_a_settings_file_that_does_not_fit_is_refused(tmp_path: Path, content: bytes | str, words: str) -> None:
    path = a_file(tmp_path, "livethread.toml", content)
    command = ["serve", "--config", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "livethread_server.cli", *command],
        env={**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["{% if %}", b"\xff\xfe", None])
def test_a_chat_template_that_cannot_be_used_is_refused(
    tmp_path: Path, model_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "template.jinja"
    if content is not None:
        a_file(tmp_path, path.name, content)
    said = serve(tmp_path, "--chat-template", str(path), model=model_path)
    assert is_one_sentence(said)
    assert "chat template" in said


def test_a_damaged_database_is_refused(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "state").mkdir()
    a_file(tmp_path, "state/livethread.db", b"not a database" * 1000)
    assert is_one_sentence(serve(tmp_path, model=model_path))
