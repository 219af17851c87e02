"""Leaves out what a model does behind the vectors of its tokens: a row of logits for each, which nobody reads.

That is a tenth of the work of a small model with a large vocabulary. llama.h has no setting for it, but ends a
computation where the callback that watches it (``llama_context_params.cb_eval``) says so. This module must never know
contexts.
"""

from __future__ import annotations

import ctypes

import llama_cpp.llama_cpp as llama

_HEAD = b"result_output"
_VECTORS = (b"result_embd_pooled", b"result_norm")
"""The tensors in front of the head, as llama.cpp's graphs name them."""


class Headless:
    """Learns from the first computation whether the head is its last step, right behind the vectors; from then on it
    ends the others there. Where a graph looks otherwise it is computed whole.
    """

    def __init__(self) -> None:
        self.callback = llama.ggml_backend_sched_eval_callback(self._saw)
        self._name = llama._lib["ggml_get_name"]
        self._name.argtypes, self._name.restype = (ctypes.c_void_p,), ctypes.c_char_p
        self._two = (b"", b"")
        self._end: bytes | None = None

    def learn(self) -> None:
        """A computation is over."""
        before, last = self._two
        if last == _HEAD and before in _VECTORS:
            self._end = before

    def _saw(self, tensor: int, asked: bool, _data: object) -> bool:
        """``asked``: shall we be told when this step is done? Else it is done: shall there be more?"""
        if not asked:
            return False
        name: bytes = self._name(tensor)
        self._two = (self._two[1], name)
        return name == self._end
