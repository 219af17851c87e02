"""The bare loop: llama.cpp's batch, decode and sampler chain with nothing around it, to compare with.

    python tests/bench/bare.py MODEL [--sequences 1 8 16] [--tokens 64] [--prompt 32] [--temperature 0]

Prints generated tokens a second by the number of sequences, as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import llama_cpp.llama_cpp as llama

CHUNK = 256
"""Prompt tokens of one call; llama.cpp's buffers for a batch grow with it."""
NEVER = -1000.0
"""What is added to the logit of a token that must not be drawn."""


class Bare:
    """A model and a context of ``sequences`` × ``length`` tokens, split unless said otherwise.

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
        unified: bool = False,
        flash_attention: bool = False,
    ) -> None:
        llama.llama_log_set(silent, None)
        self._endless = endless
        self._model = _model(model_path, extra_bufts)
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._vocabulary = llama.llama_vocab_n_tokens(self._vocab)
        params = _params(sequences, length, threads or len(os.sched_getaffinity(0)))
        params.kv_unified = unified
        params.flash_attn_type = _FLASH[flash_attention]
        self._context = llama.llama_init_from_model(self._model, params)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(max(sequences, CHUNK), 0, 1)

    def close(self) -> None:
        """Free everything."""
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

    def speed(self, depths: Sequence[int], tokens: int, *, temperature: float = 0.0) -> float:
        """Tokens a second over ``tokens`` steps of sequences that begin at ``depths``, prompts not counted."""
        llama.llama_memory_clear(self._memory, True)
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

    def row_bytes(self) -> float:
        """Bytes that a sequence's state grows by with each token (``llama_state_seq_get_size``)."""
        sizes = []
        for depth in (CHUNK, 2 * CHUNK):
            self.ingest(0, depth)
            sizes.append(llama.llama_state_seq_get_size(self._context, 0))
        return float(sizes[1] - sizes[0]) / CHUNK

    def ingest(self, sequence: int, depth: int) -> None:
        """Make a sequence hold so many tokens, whatever it held before."""
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        words = [(1000 + 37 * sequence + 11 * index) % self._vocabulary for index in range(depth)]
        for start in range(0, depth, CHUNK):
            piece = words[start : start + CHUNK]
            last = start + len(piece) == depth
            self._fill([(sequence, start + at, word, last and at == len(piece) - 1) for at, word in enumerate(piece)])

    def copy(self, source: int, target: int) -> None:
        """Make the empty ``target`` hold what ``source`` does."""
        size = llama.llama_state_seq_get_size(self._context, source)
        state = (ctypes.c_uint8 * size)()
        llama.llama_state_seq_get_data(self._context, state, size, source)
        if llama.llama_state_seq_set_data(self._context, state, size, target) != size:
            raise RuntimeError(f"Sequence {target} does not take the state of {source}.")

    def cut(self, sequence: int, depth: int) -> None:
        """Keep only so many tokens of a sequence."""
        llama.llama_memory_seq_rm(self._memory, sequence, depth, -1)

    def step_ms(self, depth: int, *, sequences: int, rows: int, steps: int) -> float:
        """The median time of a step with ``rows`` tokens of each of the first ``sequences``, all so deep."""
        times = []
        for _ in range(steps + 1):
            before = time.perf_counter()
            self._fill(
                [(each, depth + row, 1000 + row, row == rows - 1) for each in range(sequences) for row in range(rows)]
            )
            llama.llama_synchronize(self._context)
            times.append((time.perf_counter() - before) * 1000)
            for each in range(sequences):
                self.cut(each, depth)
        return median(times[1:])

    def _ingest(self, sequence: int, depth: int, chain: Any) -> int:
        self.ingest(sequence, depth)
        token: int = llama.llama_sampler_sample(chain, self._context, -1)
        return token

    def _chain(self, temperature: float, seed: int) -> Any:
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        stages = [self._never_end()] if self._endless else []
        for stage in stages + _stages(temperature, seed):
            llama.llama_sampler_chain_add(chain, stage)
        return chain

    def _never_end(self) -> Any:
        ends = [token for token in range(self._vocabulary) if llama.llama_vocab_is_eog(self._vocab, token)]
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
def silent(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp's log is not what is measured."""


def _model(path: str, extra_bufts: bool) -> Any:
    params = llama.llama_model_default_params()
    params.use_extra_bufts = extra_bufts
    return llama.llama_model_load_from_file(path.encode(), params)


_FLASH = {False: llama.LLAMA_FLASH_ATTN_TYPE_DISABLED, True: llama.LLAMA_FLASH_ATTN_TYPE_ENABLED}


def _params(sequences: int, length: int, threads: int) -> Any:
    params = llama.llama_context_default_params()
    params.n_ctx = sequences * length
    params.n_seq_max = params.n_outputs_max = sequences
    params.n_batch = params.n_ubatch = max(sequences, CHUNK)
    params.n_threads = params.n_threads_batch = threads
    return params


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
