"""The server process's door to llama.cpp: a model's vocabulary, without its weights.

It says what the vocabulary is, what the template says, and turns text into tokens and back. It must never
know weights, contexts, messages or turns.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import llama_cpp
from msgspec import Struct

from livethread_server.models import ModelError

SLICE_BYTES = 8 << 10
"""The longest text given to llama.cpp at once: its tokenisers need a stack or a time that grows faster than
the text (32,000 equal characters end the process with some vocabularies)."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What is used where neither the model nor the operator has a template."""

TemplateSource = Literal["model", "option", "chatml"]

_SPACES = b" \n\t\r"
_NO_VOCABULARY = 0  # llama.h: LLAMA_VOCAB_TYPE_NONE
_LEVEL_ERROR = 4  # ggml.h: GGML_LOG_LEVEL_ERROR
_CONTROL = 1 | 8  # llama.h: LLAMA_TOKEN_ATTR_UNKNOWN, _CONTROL; both are text unless specials are parsed
_SPECIAL = _CONTROL | 16  # _USER_DEFINED tokens are found in every text


class Infill(Struct, frozen=True):
    """The tokens in front of what stands ``before`` a place to fill, of what stands ``behind`` it, and of the place."""

    before: int
    behind: int
    between: int


class Vocabulary:
    """A vocabulary-only model. Thread-safe but for `close`, after which nothing may be called.

    ``size`` counts tokens, ``trained_context`` is the training length in tokens (0 where the model does not
    say), ``bos`` and ``eos`` are token ids or None, ``add_bos`` tells whether a prompt begins with ``bos``.
    ``sep`` is what stands between two texts that are read together, None where nothing does, ``add_eos`` whether each
    of them ends with ``eos``, ``rerank_template`` how a reranker wants ``{query}`` and ``{document}`` instead.
    ``controls`` are the texts that are control tokens where specials are parsed, ``ends`` the tokens that end a
    generation, ``infill`` those around what stands before and behind a place to fill, None where there are none.
    """

    def __init__(self, model: Any, chat_template: str | None) -> None:
        self._model = model
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self.size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.trained_context = _trained_context(model)
        self.bos = self._token_or_none(llama_cpp.llama_vocab_bos(self._vocab))
        self.eos = self._token_or_none(llama_cpp.llama_vocab_eos(self._vocab))
        self.add_eos = self.eos is not None and bool(llama_cpp.llama_vocab_get_add_eos(self._vocab))
        sep = self._token_or_none(llama_cpp.llama_vocab_sep(self._vocab))
        self.sep = sep if llama_cpp.llama_vocab_get_add_sep(self._vocab) else None
        self.add_bos = self.bos is not None and bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        attributes = [llama_cpp.llama_vocab_get_attr(self._vocab, token) for token in range(self.size)]
        self._specials = frozenset(token for token, bits in enumerate(attributes) if bits & _SPECIAL)
        tokens = range(self.size)
        self.ends = tuple(token for token in tokens if llama_cpp.llama_vocab_is_eog(self._vocab, token))
        self.infill = self._infill()
        self.controls = tuple(
            sorted({self.text([token], special=True) for token in self._specials if attributes[token] & _CONTROL})
        )
        self.template, self.template_source = _template(model, chat_template)
        self.rerank_template = _named_template(model, b"rerank")
        # Vocabularies of the SentencePiece kind put a space before each text that follows nothing or a
        # special token. A text that goes on after another one must not get it: see `_continue`.
        self._front, self._back = self._around()
        self._line_feed = self._tokenize(b"\n", False)
        self._adds_space = self.text(self._tokenize(b"a", False)) == " a"

    @classmethod
    def load(cls, path: Path, chat_template: str | None = None) -> Vocabulary:
        """Read a GGUF file's metadata (llama.h: llama_model_load_from_file with vocab_only).

        ``chat_template`` is used instead of the model's own. Raises `ModelError` where the file is not a
        whole GGUF file or llama.cpp cannot use it.
        """
        _check_whole(path)
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        with _Complaints() as complaints:
            model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise ModelError(f"llama.cpp cannot use the model file {path}: {complaints.cause()}. Choose another model.")
        if llama_cpp.llama_vocab_type(llama_cpp.llama_model_get_vocab(model)) == _NO_VOCABULARY:
            raise ModelError(f"The model file {path} has no vocabulary. Choose a model that generates text.")
        return cls(model, chat_template)

    @property
    def bos_text(self) -> str:
        """The text of ``bos`` as templates write it; empty where there is none."""
        return "" if self.bos is None else self.text([self.bos], special=True)

    @property
    def eos_text(self) -> str:
        """The text of ``eos`` as templates write it; empty where there is none."""
        return "" if self.eos is None else self.text([self.eos], special=True)

    def tokenize(self, text: str, *, special: bool, after: int | None = None) -> list[int]:
        """Turn text into token ids (llama.h: llama_tokenize), adding none at either end.

        ``special`` parses control tokens: True for what a template wrote, False for what people wrote.
        ``after`` is the token that the text follows, None at the beginning.
        """
        tokens: list[int] = []
        for piece in _slices(text.encode("utf-8", "replace")):
            before = tokens[-1] if tokens else after
            fresh = before is None or before in self._specials or not self._adds_space
            tokens += self._tokenize(piece, special) if fresh else self._continue(piece, special)
        return tokens

    def embed_tokens(self, text: str) -> list[int]:
        """A text to be made a vector of, with the tokens in front of it and behind it that the model wants (llama.h:
        llama_tokenize with add_special). Control tokens in it are parsed, as llama.cpp's own server does.
        """
        after = self._front[-1] if self._front else None
        return [*self._front, *self.tokenize(text, special=True, after=after), *self._back]

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The joined pieces of ``tokens`` (llama.h: llama_token_to_piece); ``special`` shows control ones."""
        return b"".join(self._piece(token, special) for token in tokens).decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token of the vocabulary; none for a control token unless ``special`` shows it."""
        return self._piece(token, special)

    def close(self) -> None:
        """Free the model. Nothing may be called afterwards, nor be running now."""
        llama_cpp.llama_model_free(self._model)

    def _infill(self) -> Infill | None:
        """llama.h: llama_vocab_fim_pre, _suf and _mid."""
        found = (llama_cpp.llama_vocab_fim_pre, llama_cpp.llama_vocab_fim_suf, llama_cpp.llama_vocab_fim_mid)
        before, behind, between = (self._token_or_none(token(self._vocab)) for token in found)
        return None if before is None or behind is None or between is None else Infill(before, behind, between)

    def _token_or_none(self, token: int) -> int | None:
        return token if 0 <= token < self.size else None  # llama.h: LLAMA_TOKEN_NULL is -1

    def _around(self) -> tuple[list[int], list[int]]:
        """What llama.cpp puts in front of a text and behind it, read off one that is a word in every vocabulary."""
        bare, whole = self._tokenize(b"a", False), self._tokenize(b"a", False, around=True)
        places = range(len(whole) - len(bare) + 1)
        at = next((place for place in places if whole[place : place + len(bare)] == bare), len(whole))
        return whole[:at], whole[at + len(bare) :]

    def _tokenize(self, data: bytes, special: bool, *, around: bool = False) -> list[int]:
        room = len(data) + 4
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, around, special)
        if count < 0:  # more tokens than bytes; the negative count is the room it needs
            buffer = (llama_cpp.llama_token * -count)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, -count, around, special)
        tokens: list[int] = buffer[:count]
        return tokens

    def _continue(self, data: bytes, special: bool) -> list[int]:
        """Tokenise without the space before: behind a line feed, whose tokens are taken off again."""
        tokens = self._tokenize(b"\n" + data, special)
        head = len(self._line_feed)
        return tokens[head:] if tokens[:head] == self._line_feed else self._tokenize(data, special)

    def _piece(self, token: int, special: bool) -> bytes:
        room = 64
        buffer = ctypes.create_string_buffer(room)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
        if count < 0:  # the negative count is the room it needs
            room = -count
            buffer = ctypes.create_string_buffer(room)
            count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
        return buffer.raw[:count]


def _slices(data: bytes) -> Iterator[bytes]:
    start = 0
    while len(data) - start > SLICE_BYTES:
        end = start + _cut(data[start : start + SLICE_BYTES + 1])
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


def _cut(window: bytes) -> int:
    """Where to cut: before the last run of white space, else between two characters."""
    end = max(window.rfind(space) for space in (b" ", b"\n", b"\t"))
    while end > 0 and window[end - 1] in _SPACES:
        end -= 1
    if end > 0:
        return end
    end = len(window) - 1
    while window[end] & 0xC0 == 0x80:  # inside a UTF-8 sequence (RFC 3629)
        end -= 1
    return end


def _template(model: Any, chat_template: str | None) -> tuple[str, TemplateSource]:
    if chat_template is not None:
        return chat_template, "option"
    own = llama_cpp.llama_model_chat_template(model, None)
    return (own.decode("utf-8", "replace"), "model") if own else (CHATML, "chatml")


def _named_template(model: Any, name: bytes) -> str | None:
    text = llama_cpp.llama_model_chat_template(model, name)
    return text.decode("utf-8", "replace") if text else None


def _trained_context(model: Any) -> int:
    """llama_model_n_ctx_train answers 0 for a vocabulary-only model; the metadata still says it."""
    length = _metadata(model, f"{_metadata(model, 'general.architecture')}.context_length")
    return int(length) if length.isdecimal() else 0


def _metadata(model: Any, key: str) -> str:
    """A value of the model's metadata as text; empty where there is none or it has more than 255 bytes."""
    buffer = ctypes.create_string_buffer(256)
    count = llama_cpp.llama_model_meta_val_str(model, key.encode(), buffer, 256)
    return buffer.value.decode("utf-8", "replace") if 0 <= count < 256 else ""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _hush(level: int, text: bytes, data: Any) -> None:
    """llama.cpp's log goes nowhere: what matters is raised."""


class _Complaints:
    """Gathers the errors that llama.cpp logs inside the ``with``; afterwards its log is silent."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._callback = llama_cpp.llama_log_callback(self._hear)

    def __enter__(self) -> _Complaints:
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p())
        return self

    def __exit__(self, *_: object) -> None:
        llama_cpp.llama_log_set(_hush, ctypes.c_void_p())

    def cause(self) -> str:
        """The first error without the names of C functions before it."""
        first = self._lines[0] if self._lines else "it does not say why"
        _, loading, cause = first.partition("error loading model: ")
        return cause if loading else first.partition(": ")[2] or first

    def _hear(self, level: int, text: bytes, data: Any) -> None:
        if level == _LEVEL_ERROR:
            self._lines.append(text.decode("utf-8", "replace").strip().rstrip("."))


class _GgufInitParams(ctypes.Structure):
    """gguf.h: struct gguf_init_params."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


def _gguf(name: str, result: Any, *arguments: Any) -> Any:
    """A function of gguf.h, which llama_cpp ships in its shared library but does not declare."""
    function = llama_cpp.llama_cpp._lib[name]
    function.restype = result
    function.argtypes = arguments
    return function


def _check_whole(path: Path) -> None:
    """`ModelError` unless the file holds all the tensor data that its GGUF header promises."""
    init = _gguf("gguf_init_from_file", ctypes.c_void_p, ctypes.c_char_p, _GgufInitParams)
    with _Complaints() as complaints:
        header = init(os.fsencode(path), _GgufInitParams(True, None))
    if not header:
        raise ModelError(
            f"The model file {path} is not a whole GGUF file: {complaints.cause()}. "
            "Fetch it again, or choose another one."
        )
    try:
        promised = _promised_bytes(header)
    finally:
        _gguf("gguf_free", None, ctypes.c_void_p)(header)
    size = path.stat().st_size
    if size < promised:
        raise ModelError(
            f"The model file {path} is cut off: its header promises {promised} bytes, it has {size}. Fetch it again."
        )


def _promised_bytes(header: int) -> int:
    """How long a GGUF file must be, from its header."""
    count = _gguf("gguf_get_n_tensors", ctypes.c_int64, ctypes.c_void_p)(header)
    offset = _gguf("gguf_get_tensor_offset", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
    size = _gguf("gguf_get_tensor_size", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
    data = _gguf("gguf_get_data_offset", ctypes.c_size_t, ctypes.c_void_p)(header)
    ends = (offset(header, index) + size(header, index) for index in range(count))
    return int(data + max(ends, default=0))
