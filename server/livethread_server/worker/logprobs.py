"""How likely the model found a token: log-probabilities of a row of logits, before any sampling.

This module must never know samplers, runs or text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livethread_server.engine.wire import Logprob
from livethread_server.worker.llama import Logits

LEAST = -9999.0
"""What is told of a token that the model rules out, whose log-probability no number says."""


def logprob(logits: Logits, token: int, top: int) -> Logprob:
    """The natural logarithm of the probability of ``token`` by the softmax of all finite logits, and the ``top``
    likeliest tokens; of equally likely ones the first.
    """
    most = float(logits.max())
    whole = most + float(np.log(np.exp(logits - most).sum(dtype=np.float64)))
    ranked = tuple((int(one), _told(logits, int(one), whole)) for one in _likeliest(logits, top))
    return Logprob(_told(logits, token, whole), ranked)


def _told(logits: Logits, token: int, whole: float) -> float:
    return max(LEAST, float(logits[token]) - whole)


def _likeliest(logits: Logits, count: int) -> NDArray[np.int64]:
    """The ids of the largest logits, in order. Finding the least of them first spares sorting all."""
    if count == 0:
        return np.empty(0, np.int64)
    count = min(count, len(logits))
    least = np.partition(logits, -count)[-count]
    ids = np.flatnonzero(logits >= least)
    return ids[np.argsort(-logits[ids], kind="stable")][:count]
