"""A cache folder as an engine leaves it, without an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livethread_server.worker.chunk import Namer, scope_of
from livethread_server.worker.shelf import Note, Shelf, key_in


def put_cache(folder: Path) -> Path:
    """Two threads that share their first 256 tokens, with tails of 10 and 20; the folder."""
    shelf, namer = Shelf(folder, key=key_in(folder), durable=True), Namer(b"f" * 32, 8)
    for number, tail in enumerate((10, 20)):
        tokens = np.arange(256 + tail, dtype="<i4")
        tokens[256:] += 1000 * number
        heads = namer.chain(tokens.tobytes(), scope_of("alice"), 0)
        for head in heads:
            shelf.write(head, np.zeros(head.size, np.uint8))
        shelf.write_note(Note(f"t{number}", tuple(head.name for head in heads)))
    return folder


def files(folder: Path) -> dict[int, Path]:
    """The files of chunks by their sizes, which all differ."""
    return {path.stat().st_size: path for path in (folder / "chunks").iterdir()}
