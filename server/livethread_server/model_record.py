"""What is kept beside a fetched model file: where it came from and what it must be.

It must never know how files are fetched or listed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

MAGIC = b"GGUF"
RECORD_BYTES = 1 << 16
"""The largest record that is read."""


class ModelRecord(Struct, frozen=True, kw_only=True):
    """A fetched file: the ``name`` that it was asked for by, ``source`` with its exact version, ``size`` in bytes,
    ``sha256`` in hex, ``fetched_at`` in RFC 3339. ``mtime_ns`` is the file's time of change in Unix nanoseconds when
    the hash was taken."""

    name: str
    source: str
    size: int
    sha256: str
    fetched_at: str
    mtime_ns: int

    def fits(self, file: Path) -> bool:
        """Whether the file is unchanged, as far as its size and its time of change tell."""
        about = file.stat()
        return (about.st_size, about.st_mtime_ns) == (self.size, self.mtime_ns)

    def proves(self, file: Path) -> bool:
        """Whether the file's content is what was fetched. Reads all of it."""
        return file.stat().st_size == self.size and sha256_of(file) == self.sha256


def record_path(file: Path) -> Path:
    """Where a file's record is."""
    return file.with_name(f"{file.name}.json")


def read_record(file: Path) -> ModelRecord | None:
    """The record of a model file; None where there is none, or none that can be read."""
    try:
        with record_path(file).open("rb") as record:
            return msgspec.json.decode(record.read(RECORD_BYTES), type=ModelRecord)
    except (OSError, msgspec.DecodeError):
        return None


def write_record(file: Path, record: ModelRecord) -> None:
    """Keep a record beside its file, whole or not at all. Raises OSError."""
    target = record_path(file)
    temporary = target.with_suffix(f".{os.getpid()}.new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    temporary.replace(target)


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content in hex (FIPS 180-4). Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def is_gguf(file: Path) -> bool:
    """Whether a file begins as a GGUF file does (ggml's docs/gguf.md)."""
    with file.open("rb") as content:
        return content.read(len(MAGIC)) == MAGIC
