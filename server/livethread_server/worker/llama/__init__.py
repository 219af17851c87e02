"""The door to llama.cpp: a model, a context of many sequences, one for vectors, and sampler chains.

Low-level calls of ``llama_cpp`` only. Layout and flash attention are known here and nowhere else. Nothing
here checks what a client sent: callers hand in ranges that were checked. This room must never know runs,
threads or schedules. One OS thread owns everything in here.
"""

from livethread_server.worker.llama.chain import Candidates, Chain
from livethread_server.worker.llama.context import (
    LONGEST_CHUNK,
    Context,
    DecodeFailed,
    Logits,
    NoRoom,
    State,
    loaded,
)
from livethread_server.worker.llama.model import LoadFailed, Model, offloads, quiet
from livethread_server.worker.llama.vectors import Portion, Rows, VectorContext

__all__ = [
    "LONGEST_CHUNK",
    "Candidates",
    "Chain",
    "Context",
    "DecodeFailed",
    "LoadFailed",
    "Logits",
    "Model",
    "NoRoom",
    "Portion",
    "Rows",
    "State",
    "VectorContext",
    "loaded",
    "offloads",
    "quiet",
]
