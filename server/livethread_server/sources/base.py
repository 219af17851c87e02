"""What a source of model files is to those who fetch from it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Fetched(Struct, frozen=True):
    """A file that a source brought. ``origin`` names exactly what it was, with its version; ``sha256`` in hex is what
    the source itself promises, empty where it promises nothing."""

    path: Path
    origin: str
    sha256: str = ""


class Source(Protocol):
    """A place that one model file can be fetched from. Its text is its name, such as ``hf:owner/repo/file.gguf``."""

    @property
    def place(self) -> str:
        """Where the file is kept below the folder of models: a relative path that no other source has."""
        ...

    def fetch(self, folder: Path) -> Fetched:
        """Bring the file into ``folder``, with progress on standard error.

        What was left there by an earlier call that did not end is gone on with, where the source can. Raises
        `ModelError`, and OSError where the folder cannot be written.
        """
        ...
