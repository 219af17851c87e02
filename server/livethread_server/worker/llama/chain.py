"""llama.h's sampler chains, and the array that they work on.

Nothing here checks numbers: see `worker.sampling`. This module must never know contexts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from livethread_server.worker.llama.array import pointer_to
from livethread_server.worker.llama.model import Model

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """The array that samplers work on: one entry (id, logit, probability) per token of the vocabulary."""

    def __init__(self, vocabulary: int) -> None:
        self._fresh = np.zeros(vocabulary, _CANDIDATE)
        self._fresh["id"] = np.arange(vocabulary)
        self._entries = self._fresh.copy()
        self._array = llama.llama_token_data_array()

    def fill(self, logits: NDArray[np.float32]) -> None:
        """Begin with the whole vocabulary."""
        self._entries[:] = self._fresh
        self._entries["logit"] = logits
        self._begin(len(logits))

    def fill_one(self, token: int) -> None:
        """Begin with one token of logit 0."""
        self._entries[0] = (token, 0.0, 0.0)
        self._begin(1)

    def _begin(self, size: int) -> None:
        self._array.data = pointer_to(self._entries, llama.llama_token_data)
        self._array.size = size
        self._array.selected = -1
        self._array.sorted = False

    def apply(self, chain: Chain) -> None:
        """Let the samplers of a chain change, drop and select (``llama_sampler_apply``)."""
        llama.llama_sampler_apply(chain.pointer, ctypes.byref(self._array))

    @property
    def first_logit(self) -> float:
        """The logit of the first entry."""
        return float(self._array.data[0].logit)

    @property
    def chosen(self) -> tuple[int, float] | None:
        """(token, logit) that the last sampler selected; None when it selected none."""
        if not 0 <= self._array.selected < self._array.size:
            return None
        entry = self._array.data[self._array.selected]
        return int(entry.id), float(entry.logit)


class Chain:
    """llama.h's sampler chain, built stage by stage. Free it with `close`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.pointer = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())

    def close(self) -> None:
        """Free the chain and its stages."""
        llama.llama_sampler_free(self.pointer)

    def accept(self, token: int) -> None:
        """Tell every stage which token was taken. A grammar must have allowed it (FACTS A15)."""
        llama.llama_sampler_accept(self.pointer, token)

    def logit_bias(self, biases: dict[int, float]) -> None:
        """Add to the logits of tokens; ids must be in the vocabulary."""
        pairs = (llama.llama_logit_bias * len(biases))(*biases.items())
        self._add(llama.llama_sampler_init_logit_bias(self._model.vocabulary, len(biases), pairs))

    def penalties(self, last_n: int, repeat: float, frequency: float, presence: float) -> None:
        """Penalise tokens seen among the last ones."""
        self._add(llama.llama_sampler_init_penalties(self._model.vocabulary, last_n, repeat, frequency, presence))

    def dry(self, multiplier: float, base: float, allowed: int, last_n: int, breakers: Sequence[bytes]) -> None:
        """Penalise repeated phrases; at most 16 breakers (FACTS A12)."""
        words = (ctypes.c_char_p * len(breakers))(*breakers)
        self._add(
            llama.llama_sampler_init_dry(self._model.vocab, multiplier, base, allowed, last_n, words, len(breakers))
        )

    def top_k(self, k: int) -> None:
        """Keep the k most likely."""
        self._add(llama.llama_sampler_init_top_k(k))

    def typical(self, p: float) -> None:
        """Keep the most typical ones up to the mass p."""
        self._add(llama.llama_sampler_init_typical(p, 1))

    def top_p(self, p: float) -> None:
        """Keep the most likely ones up to the mass p."""
        self._add(llama.llama_sampler_init_top_p(p, 1))

    def min_p(self, p: float) -> None:
        """Drop those below p times the most likely one."""
        self._add(llama.llama_sampler_init_min_p(p, 1))

    def xtc(self, probability: float, threshold: float, seed: int) -> None:
        """Drop the top choices now and then."""
        self._add(llama.llama_sampler_init_xtc(probability, threshold, 1, seed))

    def temperature(self, temperature: float) -> None:
        """Divide the logits."""
        self._add(llama.llama_sampler_init_temp(temperature))

    def mirostat(self, version: int, seed: int, tau: float, eta: float) -> None:
        """Draw at a steady surprise; version 1 or 2. Ends the chain."""
        if version == 1:
            self._add(llama.llama_sampler_init_mirostat(self._model.vocabulary, seed, tau, eta, 100))
        else:
            self._add(llama.llama_sampler_init_mirostat_v2(seed, tau, eta))

    def greedy(self) -> None:
        """Select the most likely one. Ends the chain."""
        self._add(llama.llama_sampler_init_greedy())

    def draw(self, seed: int) -> None:
        """Select by probability. Ends the chain."""
        self._add(llama.llama_sampler_init_dist(seed))

    def grammar(self, gbnf: str) -> None:
        """Set the logits of what the grammar refuses to −∞. Raises ValueError where it cannot be read."""
        pointer = llama.llama_sampler_init_grammar(self._model.vocab, gbnf.encode(), b"root")
        if not pointer:
            raise ValueError("llama.cpp cannot read the grammar.")
        self._add(pointer)

    def _add(self, stage: Any) -> None:
        llama.llama_sampler_chain_add(self.pointer, stage)
