"""A context for vectors without a model: each token's vector is the token and its position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np

from livethread_server.engine.wire import Embed, Embedded, Pooling
from livethread_server.worker.embedder import Embedder
from livethread_server.worker.llama import DecodeFailed, LoadFailed, Model, Portion, Rows, VectorContext


class Reader:
    """Says of each token itself, and how many tokens its sequence held before it. ``reads`` are the tokens of the
    portions of each call; the next ``fails`` calls fail.
    """

    def __init__(self, *, rows: int = 16, sequences: int = 4, whole: bool = False, most: int = 0) -> None:
        self.rows, self.sequences, self.whole = rows, sequences, whole
        self.most = most or rows
        self.held: dict[int, int] = {}
        self.reads: list[list[tuple[int, ...]]] = []
        self.fails = 0
        self.closed = False

    def read(self, portions: Sequence[Portion]) -> Rows:
        self.reads.append([portion.tokens for portion in portions])
        if self.fails:
            self.fails -= 1
            raise DecodeFailed("llama_decode returned 1.")
        assert sum(map(len, self.reads[-1])) <= self.most
        rows = []
        for portion in portions:
            held = self.held.get(portion.sequence, 0)
            assert portion.position == held
            rows += [[token, held + at] for at, token in enumerate(portion.tokens)]
            self.held[portion.sequence] = held + len(portion.tokens)
        return np.array(rows, np.float32)

    def score(self, sequence: int) -> float:
        return float(self.held[sequence])

    def drop(self, sequence: int) -> None:
        self.held.pop(sequence, None)

    def close(self) -> None:
        self.closed = True


class Readers:
    """An embedder with such contexts, made by ``make`` when they are wanted; a token takes ``token_ms`` at first."""

    def __init__(
        self, make: Callable[[], Reader] = Reader, *, token_ms: float = 1.0, pooling: Pooling = "rank"
    ) -> None:
        self.made: dict[bool, Reader] = {}
        self.refuses = False
        self._make_one = make
        model = cast(Model, SimpleNamespace(pooling=pooling, vocabulary=1000))
        self.embedder = Embedder(model, self._make, length=100, token_ms=token_ms)

    @property
    def reads(self) -> list[list[tuple[int, ...]]]:
        """What was read for vectors."""
        return self.made[False].reads

    def _make(self, ranks: bool) -> VectorContext:
        if self.refuses:
            raise LoadFailed("No memory is left.")
        reader = self.made[ranks] = self._make_one()
        return cast(VectorContext, reader)


def embed(ask: int, *texts: Sequence[int], pooling: Pooling = "mean", tenant: str = "") -> Embed:
    """Texts to be embedded."""
    return Embed(ask=ask, texts=tuple(tuple(text) for text in texts), pooling=pooling, tenant=tenant)


def rows_of(embedded: Embedded) -> list[list[float]]:
    """A text's vectors."""
    rows: list[list[float]] = np.frombuffer(embedded.vector, "<f4").reshape(embedded.rows, -1).tolist()
    return rows
