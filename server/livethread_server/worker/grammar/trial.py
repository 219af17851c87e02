"""Tries a grammar out: compiles and applies it, in a process that may die of it.

The grammar process's door to llama.cpp, with a vocabulary-only model. This module must never know pipes,
processes or limits of memory and time: they are put around it.
"""

from __future__ import annotations

import ctypes
import os
import random
import time
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from livethread_server.worker.grammar.gbnf import Refused, check_text
from livethread_server.worker.grammar.schema import to_gbnf

COMPILE_SECONDS = 0.05
"""The CPU time that compiling may take; the engine does it again, between two steps of everybody's runs."""
APPLY_SECONDS = 0.25
"""The CPU time that masking the whole vocabulary may take; an ordinary grammar takes 0.02."""
WALK_SECONDS = 0.05
"""The CPU time spent on looking for states in which masking explodes."""
_WALK_STEPS = 48
_SAMPLE = 4096
_LOG_ERROR = 4  # ggml.h: GGML_LOG_LEVEL_ERROR
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Laboratory:
    """A vocabulary to try grammars with. Raises ValueError where the model cannot be loaded."""

    def __init__(self, model_path: str) -> None:
        llama.llama_log_set(_tell, None)
        params = llama.llama_model_default_params()
        params.vocab_only = True
        model = llama.llama_model_load_from_file(os.fsencode(model_path), params)
        if not model:
            raise ValueError(f"llama.cpp cannot read the vocabulary of {model_path}.")
        self.vocab = llama.llama_model_get_vocab(model)
        self.size: int = llama.llama_vocab_n_tokens(self.vocab)
        self.all = np.arange(self.size, dtype=np.int32)
        self.ends = np.array([bool(llama.llama_vocab_is_eog(self.vocab, int(token))) for token in self.all])
        self.sample = self.all[:: max(1, self.size // _SAMPLE)]

    def prove(self, grammar: str | None, json_schema: str | None) -> str:
        """The GBNF that was tried, or `Refused`. May also take forever, or take the process with it."""
        gbnf = grammar if grammar is not None else to_gbnf(json_schema or "{}")
        check_text(gbnf, self.size)
        began = time.thread_time()
        sampler = llama.llama_sampler_init_grammar(self.vocab, gbnf.encode(), b"root")
        if not sampler:
            raise Refused("")  # the parser has told why on standard error
        if time.thread_time() - began > COMPILE_SECONDS:
            raise Refused("it takes too long to compile; use fewer rules that refer to one another")
        _Walk(self, sampler).walk()
        return gbnf


class _Walk:
    """A random way through a grammar, to see that masking the vocabulary stays quick.

    A grammar that can read the same text in many ways takes a time that doubles with every character of a
    token. The first step masks the whole vocabulary, the others a sample of it.
    """

    def __init__(self, laboratory: Laboratory, sampler: Any) -> None:
        self._laboratory = laboratory
        self._sampler = sampler
        self._random = random.Random(0)  # the same grammar shall get the same verdict

    def walk(self) -> None:
        everything, sample = self._laboratory.all, self._laboratory.sample
        allowed = self._allowed(everything)
        if not len(allowed):
            raise Refused("no token of the model fits its beginning; allow another one")
        until = time.thread_time() + WALK_SECONDS
        for _ in range(_WALK_STEPS):
            onward = allowed[~self._laboratory.ends[allowed]]
            if not len(onward) or time.thread_time() > until:
                return
            llama.llama_sampler_accept(self._sampler, int(self._random.choice(onward)))
            allowed = self._allowed(sample)
            if not len(allowed):
                allowed = self._allowed(everything)

    def _allowed(self, tokens: NDArray[np.int32]) -> NDArray[np.int32]:
        """Which of ``tokens`` the grammar lets through (llama.h: llama_sampler_apply)."""
        array = np.zeros(len(tokens), _CANDIDATE)
        array["id"] = tokens
        data = array.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        candidates = llama.llama_token_data_array(data, len(array), -1, False)
        began = time.thread_time()
        llama.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        share = len(tokens) / self._laboratory.size
        if time.thread_time() - began > max(APPLY_SECONDS * share, 0.02):
            raise Refused("applying it takes too long; use fewer alternatives, and let them exclude each other")
        allowed: NDArray[np.int32] = tokens[np.isfinite(array["logit"])]
        return allowed


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _tell(level: int, text: bytes, data: Any) -> None:
    if level == _LOG_ERROR:
        os.write(2, text)  # where the grammar parser prints its errors, too
