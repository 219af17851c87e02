from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from livethread_server.settings import Settings, SettingsError
from livethread_server.tiers import Tiers, cache_folder, model_digest, tiers
from tests.fakes import settings


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / "shm").mkdir()
    return tmp_path / "shm"


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    (tmp_path / "state").mkdir()
    return settings(state_dir=tmp_path / "state", ram_cache=1 << 20, disk_cache=1 << 30)


def test_what_is_in_memory_is_ours_alone_and_goes_at_the_end(asked: Settings, model: Path, memory: Path) -> None:
    with tiers(asked, model, memory) as found:
        folder = Path(found.ram_dir)
        assert folder.parent == memory
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "chunk").write_text("x")
        assert (found.ram_bytes, found.disk_bytes) == (1 << 20, 1 << 30)
        assert Path(found.cache_dir) == cache_folder(asked.state_dir)
        assert found.model_digest == hashlib.sha256(b"GGUF and more").hexdigest()
    assert list(memory.iterdir()) == []


def test_what_a_crash_left_in_memory_is_cleared_and_other_servers_are_left_alone(
    asked: Settings, model: Path, memory: Path, tmp_path: Path
) -> None:
    left, strange = memory / "livethread-crashed", memory / "livethread-of-another-kind"
    for folder in (left, strange):
        (folder / "chunks").mkdir(parents=True)
    (left / "lock").write_text("")
    (tmp_path / "other").mkdir()
    with tiers(settings(state_dir=tmp_path / "other", ram_cache=1), model, memory) as other:
        assert not left.exists()
        with tiers(asked, model, memory) as found:
            assert Path(found.ram_dir) != Path(other.ram_dir)
            assert Path(other.ram_dir).exists()
    assert list(memory.iterdir()) == [strange]


def test_without_a_file_system_in_memory_there_is_no_such_tier_and_the_log_says_so(
    asked: Settings, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tiers(asked, model, tmp_path / "nowhere") as found:
        assert (found.ram_dir, found.ram_bytes) == ("", 0)
    assert [record.getMessage().partition(" to keep")[0] for record in caplog.records] == [
        f"There is no {tmp_path / 'nowhere'}"
    ]


def test_a_budget_of_nothing_is_no_tier(model: Path, memory: Path, tmp_path: Path) -> None:
    with tiers(settings(state_dir=tmp_path), model, memory) as found:
        assert found == Tiers(model_digest=found.model_digest)
    assert list(memory.iterdir()) == []


def test_more_than_there_is_memory_for_is_not_promised(
    model: Path, memory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tiers(settings(state_dir=tmp_path, ram_cache=1 << 60), model, memory) as found:
        assert 0 < found.ram_bytes < 1 << 60
    assert "--ram-cache" in caplog.text


def test_a_models_digest_is_taken_once_and_again_when_the_file_changes(model: Path, tmp_path: Path) -> None:
    known = tmp_path / "models.json"
    assert model_digest(model, known) == hashlib.sha256(b"GGUF and more").hexdigest()
    noted = json.loads(known.read_text())
    known.write_text(json.dumps({**noted, "sha256": "noted"}))
    assert model_digest(model, known) == "noted"
    os.utime(model, ns=(1, 1))
    assert model_digest(model, known) == noted["sha256"]
    model.write_bytes(b"GGUF and less")
    assert model_digest(model, known) == hashlib.sha256(b"GGUF and less").hexdigest()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"of": 1, "sha256": 2}', "{"])
def test_a_digest_file_that_makes_no_sense_is_not_believed(model: Path, tmp_path: Path, content: str) -> None:
    known = tmp_path / "models.json"
    known.write_text(content)
    assert model_digest(model, known) == hashlib.sha256(b"GGUF and more").hexdigest()


def test_a_state_folder_that_cannot_be_written_is_refused_in_a_sentence(model: Path, memory: Path) -> None:
    with (
        pytest.raises(SettingsError, match="--state-dir"),
        tiers(settings(state_dir=Path("/proc/nowhere")), model, memory),
    ):
        pass
