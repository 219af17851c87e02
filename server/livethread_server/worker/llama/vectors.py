"""A context that turns texts into vectors, beside the one that generates: pooling is per context (FACTS A19).

This module must never know who asked, or how the vectors of tokens become those of texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import llama_cpp.llama_cpp as llama
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from livethread_server.worker.llama.batch import Batch
from livethread_server.worker.llama.context import LONGEST_CHUNK, DecodeFailed
from livethread_server.worker.llama.headless import Headless
from livethread_server.worker.llama.model import LoadFailed, Model

Rows = NDArray[np.float32]

LOGITS_BYTES = 64 << 20
"""The most that llama.cpp may keep for the logits of one batch: it makes room for them, though nobody wants any."""
_FEWEST_ROWS = 16
_SEQUENCES, _RECURRENT_SEQUENCES = 32, 4
"""Texts in one batch; a recurrent model's state of one is as large as thousands of cells."""


class Portion(Struct, frozen=True):
    """Tokens of the text in a sequence, from a position on."""

    sequence: int
    position: int
    tokens: tuple[int, ...]


class VectorContext:
    """Reads texts of at most ``length`` tokens; with ``ranks`` it tells their scores instead of vectors.

    A text can be read in pieces only where no token sees those behind it, and where what was read is remembered:
    ``remembers`` says whether contexts of this model have KV. Some that have none see everything, and their files do
    not say so (EmbeddingGemma's).

    ``rows`` is the most tokens that texts may share in one `read`, ``most`` those that one alone may have there,
    ``sequences`` the most texts; ``whole`` tells that none of them may come in pieces. The layout is unified: a batch
    has few cells, and texts of any length share it in one go, whereas llama.cpp takes a split one apart by their
    lengths. Raises `LoadFailed`.
    """

    def __init__(
        self,
        model: Model,
        *,
        length: int,
        remembers: bool = True,
        ranks: bool = False,
        flash_attention: bool = False,
        threads: int = 1,
    ) -> None:
        self.model = model
        self._ranks = ranks
        self.whole = not (model.causal and remembers)
        self.rows = _rows(model)
        self.most = max(self.rows, length if self.whole else 0)
        self.sequences = min(_RECURRENT_SEQUENCES if model.recurrent else _SEQUENCES, self.rows)
        params = llama.llama_context_default_params()
        params.n_ctx = self.most if self.whole else length + self.rows
        params.n_seq_max = self.sequences
        params.n_batch = params.n_ubatch = params.n_outputs_max = self.most
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.embeddings = True
        params.pooling_type = llama.LLAMA_POOLING_TYPE_RANK if ranks else llama.LLAMA_POOLING_TYPE_NONE
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.no_perf = True
        self._headless = Headless()
        params.cb_eval = self._headless.callback
        self._pointer = llama.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise LoadFailed(
                f"llama.cpp cannot make a context for vectors of {length} tokens. Choose a shorter context."
            )
        self._memory = llama.llama_get_memory(self._pointer)
        assert self._memory or self.whole
        self._batch = Batch(self.most)

    @property
    def remembers(self) -> bool:
        """Whether there is KV (``llama_get_memory``)."""
        return bool(self._memory)

    def close(self) -> None:
        """Free the cells and buffers."""
        llama.llama_free(self._pointer)

    def read(self, portions: Sequence[Portion]) -> Rows:
        """Decode portions of texts, one after the other: a vector for each of their tokens, (tokens, dimensions) and
        valid until the next call (``llama_get_embeddings``); of no dimensions where it ranks. Raises `DecodeFailed`.
        """
        count = 0
        for portion in portions:
            self._batch.fill(count, portion.sequence, portion.position, portion.tokens)
            count += len(portion.tokens)
        self._batch.logits[:count] = 1
        code = llama.llama_decode(self._pointer, self._batch.of(count))
        if code != 0:
            raise DecodeFailed(f"llama_decode returned {code}.")
        llama.llama_synchronize(self._pointer)
        self._headless.learn()
        if self._ranks:
            return np.empty((count, 0), np.float32)
        pointer = llama.llama_get_embeddings(self._pointer)
        return np.ctypeslib.as_array(pointer, (count, self.model.dimensions))

    def score(self, sequence: int) -> float:
        """What the head says of a text whose end was just read (``llama_get_embeddings_seq``)."""
        return float(llama.llama_get_embeddings_seq(self._pointer, sequence)[0])

    def drop(self, sequence: int) -> None:
        """Empty a sequence."""
        if self._memory:
            llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)


def _rows(model: Model) -> int:
    return max(_FEWEST_ROWS, min(LONGEST_CHUNK, LOGITS_BYTES // (4 * model.vocabulary)))
