"""The first batches of a fresh context: they prove that this machine can compute, and tell what it costs.

Where llama.cpp's build does not fit the machine, the process dies here and nowhere else (FACTS A1).
This module must never know runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from livethread_server.worker.llama import Context, LoadFailed, Portion, VectorContext
from livethread_server.worker.scheduler import Costs

TOKENS = 33
"""More than one tile of rows, and an odd rest."""


def prove(context: Context) -> Costs:
    """Decode a chunk and single tokens, twice: the first time warms up, the second is measured.

    Raises `LoadFailed` where the model computes nonsense. The sequence used is empty afterwards.
    """
    costs = Costs()
    count = min(TOKENS, context.length - 2)
    tokens = [index % context.model.vocabulary for index in range(count)]
    for _ in range(2):
        context.drop(0)
        chunk_ms = _timed(lambda: context.ingest(0, 0, tokens, last=True))
        row_ms = _timed(lambda: context.generate([(0, count, tokens[0])]))
    if not math.isfinite(context.logits(0).max()):
        raise LoadFailed("The model computes logits that are not finite. Check that its file is whole.")
    context.drop(0)
    costs.saw_chunk(count, 0, chunk_ms)
    costs.saw_rows(1, row_ms)
    return costs


def prove_vectors(context: VectorContext) -> Costs:
    """The same for a model that turns texts into vectors. Closes the context. Raises `LoadFailed`."""
    costs = Costs()
    count = min(TOKENS, context.rows)
    portion = Portion(0, 0, tuple(index % context.model.vocabulary for index in range(count)))
    try:
        for _ in range(2):
            context.drop(0)
            costs = Costs()
            costs.saw_chunk(count, 0, _timed(lambda: context.read([portion])))
        context.drop(0)
        if not np.isfinite(context.read([portion])).all():
            raise LoadFailed("The model computes vectors that are not finite. Check that its file is whole.")
    finally:
        context.close()
    return costs


def _timed(call: Callable[[], object]) -> float:
    before = time.monotonic()
    call()
    return (time.monotonic() - before) * 1000
