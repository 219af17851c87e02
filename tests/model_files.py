"""Model files of our own making, and a source that brings them without any network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from livethread_server.catalogue import Offer
from livethread_server.model_errors import ModelError
from livethread_server.sources.base import Fetched
from tests.gguf import TEXT, U32, gguf

CONTENT = gguf(
    [
        ("general.architecture", TEXT, "llama"),
        ("general.license", TEXT, "mit"),
        ("tokenizer.ggml.tokens", TEXT, ["a", "bc", ""]),
        ("tokenizer.ggml.token_type", U32, [1, 2, 3]),
        ("llama.context_length", U32, 2048),
        ("general.file_type", U32, 15),
    ]
)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Shelf:
    """A source that is full of one file. ``fails`` are raised first, one a call; ``fetched`` counts the calls.

    What it raises comes after the first byte was put down, as a fetch that was under way.
    """

    def __init__(self, content: bytes = CONTENT, *fails: BaseException, place: str = "shelf/tiny.gguf") -> None:
        self.content = content
        self.promised = ""
        self.place = place
        self.fetched = 0
        self._fails = list(fails)

    def __str__(self) -> str:
        return f"shelf:{Path(self.place).name}"

    def fetch(self, folder: Path) -> Fetched:
        self.fetched += 1
        part = folder / "part"
        part.write_bytes(self.content[:1])
        if self._fails:
            raise self._fails.pop(0)
        part.write_bytes(self.content)
        return Fetched(part, f"{self}@1", self.promised)


def offer(source: Shelf) -> Offer:
    """An offer that promises what the source has."""
    return Offer(source, len(source.content), hashlib.sha256(source.content).hexdigest(), "mit")


def refused() -> ModelError:
    return ModelError("The shelf is closed. Come again tomorrow.")
