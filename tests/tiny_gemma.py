"""A model of EmbeddingGemma's kind, with weights that mean nothing: it sees whole texts; its file does not say so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.gguf import BOOL, F32, I32, TEXT, U32, gguf

SIZE, INNER, LAYERS, HEADS, LONGEST = 32, 64, 6, 2, 512
TOKENS = 300
# Of six layers one sees the whole text; the others' window of 512 tokens reaches 256 to either side.
_ABOUT = "gemma-embedding"


def tiny_gemma() -> bytes:
    """The model's file."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"t{number}" for number in range(TOKENS - len(tokens))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (TOKENS - 259)]
    numbers = {
        "context_length": LONGEST,
        "embedding_length": SIZE,
        "block_count": LAYERS,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
        "attention.key_length": SIZE // HEADS,
        "attention.value_length": SIZE // HEADS,
        "attention.sliding_window": LONGEST,
        "pooling_type": 1,
    }
    return gguf(
        [
            ("general.architecture", TEXT, _ABOUT),
            *((f"{_ABOUT}.{key}", U32, value) for key, value in numbers.items()),
            (f"{_ABOUT}.attention.layer_norm_rms_epsilon", F32, 1e-6),
            ("tokenizer.ggml.model", TEXT, "llama"),
            ("tokenizer.ggml.tokens", TEXT, tokens),
            ("tokenizer.ggml.scores", F32, [0.0] * TOKENS),
            ("tokenizer.ggml.token_type", I32, kinds),
            ("tokenizer.ggml.bos_token_id", U32, 1),
            ("tokenizer.ggml.eos_token_id", U32, 2),
            ("tokenizer.ggml.add_bos_token", BOOL, True),
        ],
        _tensors(),
    )


def _tensors() -> dict[str, NDArray[Any]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (TOKENS, SIZE), "output_norm": (SIZE,)}
    for layer in range(LAYERS):
        block = {
            **dict.fromkeys(("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"), (SIZE,)),
            **dict.fromkeys(("attn_q_norm", "attn_k_norm"), (SIZE // HEADS,)),
            **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (SIZE, SIZE)),
            **dict.fromkeys(("ffn_gate", "ffn_up"), (INNER, SIZE)),
            "ffn_down": (SIZE, INNER),
        }
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    random = np.random.default_rng(7)
    return {
        f"{name}.weight": (
            np.ones(shape, np.float32)
            if len(shape) == 1
            else random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
        )
        for name, shape in shapes.items()
    }
