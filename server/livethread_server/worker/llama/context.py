"""KV cells of many sequences, and what is decoded into them, copied, cut, taken out and put back.

Layout and flash attention are known here and nowhere else. This module must never know samplers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llama_cpp
import llama_cpp.llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from livethread.errors import LivethreadError
from livethread_server.worker.llama.array import pointer_to
from livethread_server.worker.llama.batch import Batch
from livethread_server.worker.llama.model import LoadFailed, Model

Logits = NDArray[np.float32]
State = NDArray[np.uint8]

LONGEST_CHUNK = 256
"""The most prompt tokens one `Context.ingest` takes: more gains no speed (FACTS B2)."""


class NoRoom(LivethreadError):  # noqa: N818 - the names say what happened
    """No KV cells are left for the batch; nothing was written (``llama_decode`` returned 1)."""


class DecodeFailed(LivethreadError):  # noqa: N818
    """``llama_decode`` failed; the cells of the sequences in the batch are not to be trusted."""


class Context:
    """KV cells for ``sequences`` sequences of ``length`` tokens each, or ``cells`` for all of them together.

    Raises `LoadFailed`.

    In the split layout every sequence has its own cells, and generated rows decode at full speed only in
    adjacent ids (FACTS A8); in the unified one all share them.
    """

    def __init__(
        self,
        model: Model,
        *,
        length: int,
        sequences: int,
        split: bool = True,
        flash_attention: bool = False,
        threads: int = 1,
        cells: int = 0,
    ) -> None:
        self.model = model
        self.length = length
        self.cells = cells if cells and not split else length * sequences
        self.sequences = sequences
        self._split = split
        rows = max(LONGEST_CHUNK, sequences)
        params = llama.llama_context_default_params()
        params.n_ctx = self.cells
        params.n_seq_max = params.n_outputs_max = sequences
        params.n_batch = params.n_ubatch = rows
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = not split
        params.swa_full = False
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.no_perf = True
        self._pointer = llama.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise LoadFailed(
                f"llama.cpp cannot make a context of {self.cells} cells for {sequences} × {length} tokens. "
                "Choose fewer sequences or a shorter context."
            )
        self._flash_attention = flash_attention
        self._memory = llama.llama_get_memory(self._pointer)
        self._batch = Batch(rows)
        self._buffer: State = np.empty(0, np.uint8)

    @property
    def remembers(self) -> bool:
        """Whether there is KV at all; models that only turn texts into vectors have none (``llama_get_memory``)."""
        return bool(self._memory)

    @property
    def wants_neighbours(self) -> bool:
        """Whether generating sequences decode faster in adjacent ids."""
        return self._split

    @property
    def streams(self) -> int:
        """How many streams of cells a sequence's state has."""
        return self.sequences if self._split else 1

    @property
    def facts(self) -> dict[str, object]:
        """What decides whether a state means the same here, beside the weights (FACTS A4)."""
        return {
            "library": f"{llama_cpp.__version__} {llama.llama_print_system_info().decode()}",
            "flash_attention": self._flash_attention,
            "types": "f16 f16",
            "rope": "the model's",
            "lora": (),
            "swa_full": False,
            "window": self.model.window,
            "description": self.model.description,
        }

    def close(self) -> None:
        """Free the cells and buffers."""
        llama.llama_free(self._pointer)

    def generate(self, rows: Sequence[tuple[int, int, int]]) -> None:
        """Decode one token each of many sequences: (sequence, position, token), sequences ascending.

        Row i's logits are `logits(i)`. Raises `NoRoom`, `DecodeFailed`.
        """
        for i, (sequence, position, token) in enumerate(rows):
            self._batch.put(i, sequence, position, token)
        self._batch.logits[: len(rows)] = 1
        self._decode(len(rows))

    def ingest(self, sequence: int, position: int, tokens: Sequence[int], *, last: bool) -> None:
        """Decode a chunk of one sequence's prompt; the last token's logits are `logits(-1)` when ``last``.

        Raises `NoRoom`, `DecodeFailed`.
        """
        count = len(tokens)
        self._batch.fill(0, sequence, position, tokens)
        self._batch.logits[:count] = 0
        self._batch.logits[count - 1] = last
        self._decode(count)

    def _decode(self, count: int) -> None:
        code = llama.llama_decode(self._pointer, self._batch.of(count))
        if code == 1:
            raise NoRoom("The KV cache has no cells left for the batch.")
        if code != 0:
            raise DecodeFailed(f"llama_decode returned {code}.")
        llama.llama_synchronize(self._pointer)

    def logits(self, row: int) -> Logits:
        """A view of the logits of one output row, valid until the next decode; -1 is the last row."""
        pointer = llama.llama_get_logits_ith(self._pointer, row)
        return np.ctypeslib.as_array(pointer, (self.model.vocabulary,))

    def can_keep(self, sequence: int, length: int) -> bool:
        """Whether [0, length) of a sequence is whole and may be kept by itself (FACTS A7)."""
        if self.model.cuttable or length == 0:
            return True
        whole = bool(llama.llama_memory_seq_pos_max(self._memory, sequence) == length - 1)
        if self.model.recurrent:
            return whole
        first: int = llama.llama_memory_seq_pos_min(self._memory, sequence)
        return whole or 0 <= first <= max(0, length - self.model.window)

    def cut(self, sequence: int, length: int) -> None:
        """Keep only [0, length) of a sequence, which `can_keep` allowed."""
        if not llama.llama_memory_seq_rm(self._memory, sequence, length, -1):
            raise DecodeFailed(f"Sequence {sequence} cannot be cut to {length} tokens.")

    def drop(self, sequence: int) -> None:
        """Empty a sequence."""
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Make the empty ``target`` hold [0, length) of ``source``, which `can_keep` allowed."""
        if self._split:
            self.move(source, target)
            if llama.llama_memory_seq_pos_max(self._memory, target) >= length:
                self.cut(target, length)
        else:
            llama.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def swap(self, first: int, second: int) -> None:
        """Exchange what two sequences hold; logits afterwards are equal (FACTS A9)."""
        kept = self.export(first).copy()
        self.move(second, first)
        self.restore(second, kept)

    def move(self, source: int, target: int) -> None:
        """Replace what ``target`` holds by a copy of the whole of ``source``."""
        if llama.llama_memory_seq_pos_max(self._memory, source) < 0:
            self.drop(target)
        else:
            self.restore(target, self.export(source))

    def export(self, sequence: int) -> State:
        """The whole state of a sequence (``llama_state_seq_get_data``), valid until the next export."""
        size: int = llama.llama_state_seq_get_size(self._pointer, sequence)
        if size > len(self._buffer):
            self._buffer = np.empty(size + size // 4, np.uint8)
        state = self._buffer[:size]
        written = llama.llama_state_seq_get_data(self._pointer, _bytes(state), size, sequence)
        if written != size:
            raise DecodeFailed(f"Sequence {sequence} gave {written} bytes of state instead of {size}.")
        return state

    def export_into(self, buffer: State | Exception) -> None:
        """Use this memory for the next exports that it is large enough for."""
        if not isinstance(buffer, Exception) and len(buffer) > len(self._buffer):
            self._buffer = buffer

    def restore(self, sequence: int, state: State) -> None:
        """Replace a sequence by an exported state. Raises `DecodeFailed`, then the sequence is empty."""
        self.drop(sequence)
        read = llama.llama_state_seq_set_data(self._pointer, _bytes(state), len(state), sequence)
        size = llama.llama_state_seq_get_size(self._pointer, sequence)
        if read != len(state) or size != len(state):
            self.drop(sequence)
            raise DecodeFailed(f"Sequence {sequence} took {read} bytes and holds {size} of {len(state)}.")

    def mark(self, sequence: int) -> State:
        """What of a sequence cannot be cut, as it is now (``LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY``)."""
        flags = llama.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        state: State = np.empty(llama.llama_state_seq_get_size_ext(self._pointer, sequence, flags), np.uint8)
        written = llama.llama_state_seq_get_data_ext(self._pointer, _bytes(state), len(state), sequence, flags)
        if written != len(state):
            raise DecodeFailed(f"Sequence {sequence} gave a mark of {written} bytes instead of {len(state)}.")
        return state

    def rewind(self, sequence: int, length: int, mark: State) -> None:
        """Keep [0, length) of a live sequence that has gone on since it was marked there (FACTS A7)."""
        flags = llama.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        llama.llama_memory_seq_rm(self._memory, sequence, length, -1)
        read = llama.llama_state_seq_set_data_ext(self._pointer, _bytes(mark), len(mark), sequence, flags)
        last = llama.llama_memory_seq_pos_max(self._memory, sequence)
        if read != len(mark) or last != length - 1:
            raise DecodeFailed(f"Sequence {sequence} cannot go back to {length} tokens.")


@contextmanager
def loaded(model: Model, context: Context) -> Iterator[Context]:
    """Free both at the end, in order."""
    try:
        yield context
    finally:
        context.close()
        model.close()


def _bytes(state: State) -> Any:
    return pointer_to(state, ctypes.c_uint8)
