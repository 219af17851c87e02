"""GGUF files of our own making, small enough to be written in a test."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

U32, F32, I32, TEXT, ARRAY, BOOL = 4, 6, 5, 8, 9, 7
"""gguf.h: enum gguf_type."""
TENSOR_KINDS = {np.float32: 0, np.float16: 1}
"""ggml.h: enum ggml_type."""


def spaced_vocabulary() -> bytes:
    """A vocabulary that puts a space before texts and wants its begin token, without a template or weights.

    Letters, a few pairs and all bytes, and control tokens for the beginning and the end.
    """
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz[]/INST<>|", "▁a", "ab", "▁ab", "ba"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(letters)]
    scores = [0.0] * 259 + [-float(place) for place in range(len(letters))]
    return gguf(
        [
            ("general.architecture", TEXT, "llama"),
            ("llama.context_length", U32, 64),
            ("tokenizer.ggml.model", TEXT, "llama"),
            ("tokenizer.ggml.tokens", TEXT, tokens),
            ("tokenizer.ggml.scores", F32, scores),
            ("tokenizer.ggml.token_type", I32, kinds),
            ("tokenizer.ggml.bos_token_id", U32, 1),
            ("tokenizer.ggml.eos_token_id", U32, 2),
            ("tokenizer.ggml.add_bos_token", BOOL, True),
        ]
    )


def gguf(entries: Sequence[tuple[str, int, object]], tensors: Mapping[str, NDArray[Any]] = {}) -> bytes:
    """A GGUF file (ggml's docs/gguf.md) with metadata and tensors of float32 or float16."""
    data = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries))
    for key, kind, value in entries:
        data += _value(TEXT, key)
        if isinstance(value, list):
            data += struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(_value(kind, item) for item in value)
        else:
            data += struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, tensor in tensors.items():
        data += _value(TEXT, name) + struct.pack("<I", tensor.ndim)
        data += struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        data += struct.pack("<IQ", TENSOR_KINDS[tensor.dtype.type], offset)
        offset += tensor.nbytes + -tensor.nbytes % 32
    contents = b"".join(tensor.tobytes() + bytes(-tensor.nbytes % 32) for tensor in tensors.values())
    return data + bytes(-len(data) % 32) + contents


def _value(kind: int, value: object) -> bytes:
    if isinstance(value, str):
        return struct.pack("<Q", len(value.encode())) + value.encode()
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)
