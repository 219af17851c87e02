from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from livethread_server.model_record import (
    RECORD_BYTES,
    ModelRecord,
    is_gguf,
    read_record,
    record_path,
    sha256_of,
    write_record,
)
from tests.model_files import CONTENT, SHA256


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def record(file: Path) -> ModelRecord:
    return ModelRecord(
        name="tiny",
        source="hf:maker/Tiny@1/tiny.gguf",
        size=len(CONTENT),
        sha256=sha256_of(file),
        fetched_at="2026-11-23T12:00:00.000000Z",
        mtime_ns=file.stat().st_mtime_ns,
    )


def test_a_record_is_read_as_it_was_written(file: Path, record: ModelRecord) -> None:
    write_record(file, record)
    assert read_record(file) == record
    assert record.sha256 == SHA256
    assert sorted(path.name for path in file.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.json"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"name": 1}', b"\xff", b" " * RECORD_BYTES + b"{}"])
def test_a_record_that_cannot_be_read_is_none(file: Path, data: bytes) -> None:
    record_path(file).write_bytes(data)
    assert read_record(file) is None


def test_a_file_without_a_record_has_none(file: Path) -> None:
    assert read_record(file) is None


def test_a_changed_file_does_not_fit_and_only_its_content_proves_it(file: Path, record: ModelRecord) -> None:
    assert record.fits(file)
    os.utime(file, ns=(0, 0))
    assert not record.fits(file)
    assert record.proves(file)
    file.write_bytes(CONTENT[:-1] + b"?")
    assert not record.proves(file)
    assert not structs.replace(record, size=1).proves(file)


def test_a_gguf_file_is_known_by_its_beginning(file: Path, tmp_path: Path) -> None:
    assert is_gguf(file)
    file.write_bytes(b"GGU")
    assert not is_gguf(file)
