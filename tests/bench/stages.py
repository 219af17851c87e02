"""Where the time of a save and of a restore goes, by chunk size: each stage by itself, in one OS thread.

It takes the engine's own rooms, without the engine around them. Files come from the system's page cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import Struct

from livethread_server.worker.chunk import ROOT, TAG_SIZE, Bytes, Head, scope_of, tag
from livethread_server.worker.llama import LONGEST_CHUNK, Context, Model
from livethread_server.worker.rows import Frame, Parsed, parse, rows_of, state_size
from livethread_server.worker.shelf import Shelf, key_in
from tests.bench.bench import CONTEXT, SEQUENCES, Bench

LENGTH, MORE = 1500, 50
SIZES = (64, 128, 256, 512, 1024)
USUAL = 256


class Stages(Struct, frozen=True, kw_only=True):
    """Milliseconds for all chunks of a context; ``again`` are the tokens that a second save writes."""

    export: float
    cut: float
    tag: float
    write: float
    read: float
    verify: float
    join: float
    set: float
    again: int

    @property
    def save(self) -> float:
        """Out of llama.cpp and onto the disk."""
        return self.export + self.cut + self.tag + self.write

    @property
    def restore(self) -> float:
        """Back again."""
        return self.read + self.verify + self.join + self.set

    def told(self) -> str:
        """In a few words."""
        return (
            f"read {self.read:.1f}, verify {self.verify:.1f}, join {self.join:.1f}, set {self.set:.1f} ms; saving: "
            f"export {self.export:.1f}, cut {self.cut:.1f}, tag {self.tag:.1f}, write with fsync {self.write:.1f} ms"
        )


def by_chunk_size(bench: Bench) -> dict[int, Stages]:
    """The stages for each size of chunks."""
    found = {}
    with _context(bench) as context:
        for start in range(0, LENGTH, LONGEST_CHUNK):
            stop = min(LENGTH, start + LONGEST_CHUNK)
            context.ingest(0, start, tuple(range(1000 + start, 1000 + stop)), last=False)
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                found[size] = _Chunks(context, Path(folder), size).stages(2 if bench.quick else 9)
            bench.say(f"chunks of {size}: {found[size].told()}")
    return found


@contextmanager
def _context(bench: Bench) -> Iterator[Context]:
    model = Model(str(bench.model), extra_bufts=bench.extra_bufts)
    with closing(model):
        context = Context(model, length=CONTEXT, sequences=SEQUENCES, threads=bench.threads)
        with closing(context):
            yield context


class _Chunks:
    """A live sequence of `LENGTH` tokens, cut into chunks of one size on a shelf."""

    def __init__(self, context: Context, folder: Path, size: int) -> None:
        self._context = context
        self._size = size
        self._state: Bytes = context.export(0).copy()
        self._parsed: Parsed = parse(self._state)
        self._starts = range(0, LENGTH, size)
        self._heads = self._chain()
        self._key = key_in(folder)
        self._shelf = Shelf(folder, key=self._key, durable=True)
        self._rows: list[Bytes] = []
        self._buffer = np.empty(size * self._parsed.shape.width + TAG_SIZE, np.uint8)
        self._target = np.empty(state_size(self._parsed.shape, self._parsed.streams, LENGTH), np.uint8)

    def stages(self, repetitions: int) -> Stages:
        """All of them, one after the other, so many times; raises RuntimeError where other bytes come back."""
        steps: dict[str, Callable[[], object]] = {
            "export": lambda: self._context.export(0),
            "cut": self._cut,
            "tag": self._tag,
            "write": self._write,
            "read": self._read,
            "verify": self._tag,
            "join": self._join,
            "set": lambda: self._context.restore(1, self._target),
        }
        ms: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(repetitions):
            for name, step in steps.items():
                before = time.perf_counter()
                step()
                ms[name].append((time.perf_counter() - before) * 1000)
        self._check()
        again = LENGTH + MORE - LENGTH // self._size * self._size
        return Stages(**{name: median(each) for name, each in ms.items()}, again=again)

    def _chain(self) -> list[Head]:
        heads: list[Head] = []
        width, parent = self._parsed.shape.width, ROOT
        for start in self._starts:
            tokens = np.arange(start, min(start + self._size, LENGTH), dtype="<i4").tobytes()
            heads.append(Head(bytes(32), scope_of(""), parent, tokens, width, width * (len(tokens) // 4)))
            parent = heads[-1].name
        return heads

    def _cut(self) -> None:
        self._rows = [
            rows_of(self._state, self._parsed, start, start + head.count)
            for start, head in zip(self._starts, self._heads, strict=True)
        ]

    def _tag(self) -> None:
        for head, rows in zip(self._heads, self._rows, strict=True):
            tag(self._key, head.pack(), rows)

    def _write(self) -> None:
        for head, rows in zip(self._heads, self._rows, strict=True):
            self._shelf.write(head, rows)

    def _read(self) -> None:
        for head in self._heads:
            self._shelf.read(head, self._buffer)

    def _join(self) -> None:
        frame = Frame(self._target, self._parsed.shape, streams=self._parsed.streams, stream=1, count=LENGTH)
        for start, head, rows in zip(self._starts, self._heads, self._rows, strict=True):
            frame.put(start, head.count, rows)

    def _check(self) -> None:
        back = self._context.export(1)
        if not np.array_equal(rows_of(back, parse(back), 0, LENGTH), rows_of(self._state, self._parsed, 0, LENGTH)):
            raise RuntimeError("What was restored is not what was saved.")
