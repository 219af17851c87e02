"""KV without a model: a context whose rows are the tokens themselves, in states as llama.cpp writes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from livethread_server.worker.llama import Context, DecodeFailed
from livethread_server.worker.rows import Block, Bytes, Frame, Shape, parse, rows_of, state_size

SHAPE = Shape(False, 1, (Block(1, 1, 4, False), Block(1, 1, 4, False)))
"""One layer whose K and V are four bytes a token."""


class Cells:
    """What the rooms around a `Context` need of it. ``held`` are the tokens under each sequence id; ``refuses`` is
    how many of the next states it will not take.
    """

    def __init__(self, sequences: int = 3) -> None:
        self.held: list[list[int]] = [[] for _ in range(sequences)]
        self.model = SimpleNamespace(cuttable=True)
        self.sequences = self.streams = sequences
        self.length = 1000
        self.cells = self.length * sequences
        self.wants_neighbours = True
        self.refuses = 0

    @property
    def context(self) -> Context:
        """The same, for those who want a real one."""
        return cast(Context, self)

    def can_keep(self, sequence: int, length: int) -> bool:
        return True

    def cut(self, sequence: int, length: int) -> None:
        del self.held[sequence][length:]

    def drop(self, sequence: int) -> None:
        self.held[sequence].clear()

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.held[target] = self.held[source][:length]

    def swap(self, first: int, second: int) -> None:
        self.held[first], self.held[second] = self.held[second], self.held[first]

    def export(self, sequence: int) -> Bytes:
        tokens = np.array(self.held[sequence], "<i4")
        state = np.empty(state_size(SHAPE, self.streams, len(tokens)), np.uint8)
        frame = Frame(state, SHAPE, streams=self.streams, stream=sequence, count=len(tokens))
        frame.put(0, len(tokens), np.tile(tokens, 2).view(np.uint8))
        return state

    def restore(self, sequence: int, state: Bytes) -> None:
        self.drop(sequence)
        if self.refuses:
            self.refuses -= 1
            raise DecodeFailed("There is no room for the state.")
        parsed = parse(state)
        self.held[sequence] = rows_of(state, parsed, 0, parsed.count).view("<i4")[: parsed.count].tolist()
