"""Weights and vocabulary of one model file.

This module must never know contexts or samplers.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import llama_cpp.llama_cpp as llama

from livethread.errors import LivethreadError
from livethread_server.engine.wire import Pooling

_POOLINGS: tuple[Pooling, ...] = ("none", "mean", "cls", "last", "rank")
"""By ``llama_pooling_type``."""
_LOG_WARN, _LOG_ERROR = 3, 4


class LoadFailed(LivethreadError):  # noqa: N818 - the name says what happened
    """The model or its context cannot be made; the sentence says why and what to do."""


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _data: object) -> None:
    if level in (_LOG_WARN, _LOG_ERROR):
        sys.stderr.write(text.decode("utf-8", "replace"))


def quiet() -> None:
    """Let llama.cpp write only warnings and errors, to stderr (``llama_log_set``)."""
    llama.llama_log_set(_log, None)


def offloads(gpu_layers: int) -> bool:
    """Whether so many layers go to a GPU: only where llama.cpp was built for one (``llama_supports_gpu_offload``)."""
    return gpu_layers > 0 and bool(llama.llama_supports_gpu_offload())


class Model:
    """The weights and the vocabulary. Raises `LoadFailed`."""

    def __init__(self, path: str, *, gpu_layers: int = 0, extra_bufts: bool = True) -> None:
        if not Path(path).is_file():
            raise LoadFailed(f"There is no model file at {path}. Check the path.")
        params = llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = extra_bufts
        self.pointer = llama.llama_model_load_from_file(path.encode(), params)
        if not self.pointer:
            raise LoadFailed(f"llama.cpp cannot load {path}. Check that it is a whole GGUF file of a known kind.")
        self.vocab = llama.llama_model_get_vocab(self.pointer)
        self.vocabulary: int = llama.llama_vocab_n_tokens(self.vocab)
        self.trained_context: int = llama.llama_model_n_ctx_train(self.pointer)
        self.window: int = llama.llama_model_n_swa(self.pointer)
        self.recurrent: bool = llama.llama_model_is_recurrent(self.pointer) or llama.llama_model_is_hybrid(self.pointer)
        self.dimensions: int = llama.llama_model_n_embd_out(self.pointer)
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        """Free the weights. Contexts of this model must be closed before."""
        llama.llama_model_free(self.pointer)

    @property
    def description(self) -> str:
        """Architecture, size and format, as ``llama_model_desc`` says it."""
        buffer = ctypes.create_string_buffer(256)
        llama.llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def cuttable(self) -> bool:
        """Whether a sequence can always be cut anywhere (no recurrence, no sliding window)."""
        return not self.recurrent and self.window == 0

    @property
    def causal(self) -> bool:
        """Whether no token sees those behind it, as far as the file says: of some kinds llama.cpp knows better."""
        return self._metadata("attention.causal") != "false"

    @property
    def pooling(self) -> Pooling:
        """How it was trained to make one vector of a text; ``none`` where its file does not say."""
        kind = self._metadata("pooling_type")
        return _POOLINGS[int(kind)] if kind.isdecimal() and int(kind) < len(_POOLINGS) else "none"

    def _metadata(self, key: str) -> str:
        """A value of the file's that belongs to the architecture; empty where there is none."""
        return self._value(f"{self._value('general.architecture')}.{key}")

    def _value(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        length = llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else ""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation (``llama_vocab_is_eog``)."""
        return bool(llama.llama_vocab_is_eog(self.vocab, token))

    def piece(self, token: int) -> bytes:
        """The bytes of a token; none for control tokens (``llama_token_to_piece``)."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._piece(token, 64)
        return found

    def _piece(self, token: int, room: int) -> bytes:
        buffer = ctypes.create_string_buffer(room)
        length = llama.llama_token_to_piece(self.vocab, token, buffer, room, 0, False)
        return self._piece(token, -length) if length < 0 else buffer.raw[:length]
