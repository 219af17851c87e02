"""The bare loop: llama.cpp's batch, decode and sampler chain with nothing around it, to compare with.

    python tests/bench/bare.py MODEL [--sequences 1 8 16] [--tokens 64] [--prompt 32] [--temperature 0]

Prints generated tokens a second by the number of sequences, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as llama

CHUNK = 256
"""Prompt tokens of one call; llama.cpp's buffers for a batch grow with it."""
NEVER = -1000.0
"""What is added to the logit of a token that must not be drawn."""


class Bare:
    """A model and a split context of ``sequences`` × ``length`` tokens.

    ``endless``: tokens that end a generation are not drawn, at the cost of a ``logit_bias`` sampler.
    """

    def __init__(
        self,
        model_path: str,
        *,
        sequences: int,
        length: int,
        extra_bufts: bool = False,
        threads: int = 0,
        endless: bool = False,
    ) -> None:
        llama.llama_log_set(_silent, None)
        self._endless = endless
        self._model = _model(model_path, extra_bufts)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._vocabulary = llama.llama_vocab_n_tokens(self._vocab)
        self._context = _context(self._model, sequences, length, threads or len(os.sched_getaffinity(0)))
        self._batch = llama.llama_batch_init(max(sequences, CHUNK), 0, 1)

    def close(self) -> None:
        """Free everything."""
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def end_tokens(self) -> list[int]:
        """Every token that ends a generation."""
        return [token for token in range(self._vocabulary) if llama.llama_vocab_is_eog(self._vocab, token)]

    def speed(self, depths: Sequence[int], tokens: int, *, temperature: float = 0.0) -> float:
        """Tokens a second over ``tokens`` steps of sequences that begin at ``depths``, prompts not counted."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        chains = [self._chain(temperature, seed) for seed in range(len(depths))]
        last = [self._ingest(sequence, depths[sequence], chain) for sequence, chain in enumerate(chains)]
        before = time.perf_counter()
        for step in range(tokens):
            self._fill([(sequence, depth + step, last[sequence], True) for sequence, depth in enumerate(depths)])
            last = [llama.llama_sampler_sample(chain, self._context, row) for row, chain in enumerate(chains)]
        seconds = time.perf_counter() - before
        for chain in chains:
            llama.llama_sampler_free(chain)
        return len(depths) * tokens / seconds

    def _ingest(self, sequence: int, depth: int, chain: Any) -> int:
        words = [(1000 + 37 * sequence + 11 * index) % self._vocabulary for index in range(depth)]
        rows = [(sequence, index, word, index == depth - 1) for index, word in enumerate(words)]
        for start in range(0, depth, CHUNK):
            self._fill(rows[start : start + CHUNK])
        token: int = llama.llama_sampler_sample(chain, self._context, -1)
        return token

    def _chain(self, temperature: float, seed: int) -> Any:
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        stages = [self._never_end()] if self._endless else []
        for stage in stages + _stages(temperature, seed):
            llama.llama_sampler_chain_add(chain, stage)
        return chain

    def _never_end(self) -> Any:
        ends = self.end_tokens()
        biases = (llama.llama_logit_bias * len(ends))(*((token, NEVER) for token in ends))
        return llama.llama_sampler_init_logit_bias(self._vocabulary, len(ends), biases)

    def _fill(self, rows: list[tuple[int, int, int, bool]]) -> None:
        batch = self._batch
        batch.n_tokens = len(rows)
        for row, (sequence, position, token, wanted) in enumerate(rows):
            batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
            batch.seq_id[row][0], batch.logits[row] = sequence, wanted
        code = llama.llama_decode(self._context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code}.")


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _silent(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp's log is not what is measured."""


def _model(path: str, extra_bufts: bool) -> Any:
    params = llama.llama_model_default_params()
    params.use_extra_bufts = extra_bufts
    return llama.llama_model_load_from_file(path.encode(), params)


def _context(model: Any, sequences: int, length: int, threads: int) -> Any:
    params = llama.llama_context_default_params()
    params.n_ctx = sequences * length
    params.n_seq_max = params.n_outputs_max = sequences
    params.n_batch = params.n_ubatch = max(sequences, CHUNK)
    params.n_threads = params.n_threads_batch = threads
    params.kv_unified = False
    params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return llama.llama_init_from_model(model, params)


def _stages(temperature: float, seed: int) -> list[Any]:
    if temperature == 0:
        return [llama.llama_sampler_init_greedy()]
    return [
        llama.llama_sampler_init_top_k(40),
        llama.llama_sampler_init_top_p(0.95, 1),
        llama.llama_sampler_init_temp(temperature),
        llama.llama_sampler_init_dist(seed),
    ]


def main() -> None:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--extra-bufts", action="store_true")
    asked = parser.parse_args()
    bare = Bare(asked.model, sequences=max(asked.sequences), length=1024, extra_bufts=asked.extra_bufts)
    speeds = {
        rows: bare.speed([asked.prompt] * rows, asked.tokens, temperature=asked.temperature) for rows in asked.sequences
    }
    bare.close()
    print(json.dumps({"tokens_per_second": {str(rows): round(speed, 1) for rows, speed in speeds.items()}}))


if __name__ == "__main__":
    main()
