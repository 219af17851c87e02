"""The model's vocabulary alone: texts of exactly so many tokens, and the tokens that end a generation."""

from __future__ import annotations

import random
from pathlib import Path

import llama_cpp.llama_cpp as llama

from tests.bench.bare import silent
from tests.bench.prompts import WORDS

ROOM = 8192
"""The longest text, in tokens."""


class Vocabulary:
    """Raises RuntimeError where the file is no model."""

    def __init__(self, path: Path) -> None:
        llama.llama_log_set(silent, None)
        params = llama.llama_model_default_params()
        params.vocab_only = True
        self._model = llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {path}.")
        self._vocab = llama.llama_model_get_vocab(self._model)

    def close(self) -> None:
        """Free it."""
        llama.llama_model_free(self._model)

    def ends(self) -> list[int]:
        """Every token that ends a generation."""
        every = range(llama.llama_vocab_n_tokens(self._vocab))
        return [token for token in every if llama.llama_vocab_is_eog(self._vocab, token)]

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        data = text.encode()
        buffer = (llama.llama_token * ROOM)()
        found: int = llama.llama_tokenize(self._vocab, data, len(data), buffer, ROOM, False, False)
        return found

    def text(self, tokens: int, seed: int) -> str:
        """A text of so many tokens, which begins unlike that of any other seed."""
        draw = random.Random(seed)
        words = [str(seed), *draw.choices(WORDS, k=tokens)]
        while (over := self.count(" ".join(words)) - tokens) > 0:
            del words[-max(1, over // 2) :]
        while self.count(" ".join(words)) < tokens:
            words.append("time")
        return " ".join(words)
