"""What a GGUF file says of itself: the few entries of its header that a list of models shows.

It reads ggml's docs/gguf.md and loads no llama.cpp, so that listing models takes no time. It must never know what
is in the tensors, nor what a model is good for.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from livethread_server.model_errors import ModelError

QUANTISATIONS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}
"""llama.h: enum llama_ftype."""

_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9  # gguf.h: enum gguf_type

Value = str | int | float


class GgufHeader(Struct, frozen=True):
    """What a model file says of itself. Texts are empty, and ``context`` (tokens) is 0, where it does not say."""

    architecture: str = ""
    quantisation: str = ""
    context: int = 0
    licence: str = ""


def read_header(file: Path) -> GgufHeader:
    """Read a model file's header. Raises `ModelError` where it is none, and OSError."""
    with file.open("rb") as content:
        try:
            with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data:
                entries = dict(_entries(_Reader(data)))
        except (ValueError, OverflowError, KeyError, struct.error):
            raise ModelError(f"The header of the model file {file} cannot be read. Fetch it again.") from None
    architecture = str(entries.get("general.architecture", ""))
    context = entries.get(f"{architecture}.context_length", 0)
    return GgufHeader(
        architecture,
        QUANTISATIONS.get(_whole(entries.get("general.file_type")), ""),
        max(0, _whole(context)),
        str(entries.get("general.license", "")),
    )


def _whole(value: Value | None) -> int:
    return value if isinstance(value, int) else -1


class _Reader:
    """Goes through the bytes of a header; what is not there is a struct.error."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def number(self, form: str) -> int | float:
        (value,) = struct.unpack_from(form, self._data, self._place)
        self._place += struct.calcsize(form)
        return value  # type: ignore[no-any-return]

    def count(self) -> int:
        return int(self.number("<Q"))

    def text(self) -> str:
        length = self.count()
        start, self._place = self._place, self._place + length
        if self._place > len(self._data):
            raise ValueError("a text goes beyond the end of the file")
        return self._data[start : self._place].decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        """Past ``count`` texts: a vocabulary has hundreds of thousands."""
        data, place, length = self._data, self._place, struct.Struct("<Q").unpack_from
        for _ in range(count):
            place += 8 + length(data, place)[0]
        self._place = place

    def skip(self, size: int) -> None:
        self._place += size


def _entries(reader: _Reader) -> Iterator[tuple[str, Value]]:
    """The header's entries, without the arrays."""
    if reader.number("<I") != 0x46554747 or reader.number("<I") < 2:  # "GGUF"; version 1 had shorter counts
        raise ValueError("no GGUF file")
    reader.count()  # of tensors
    for _ in range(reader.count()):
        key, kind = reader.text(), int(reader.number("<I"))
        if kind == _ARRAY:
            _skip_array(reader)
        else:
            yield key, reader.text() if kind == _TEXT else reader.number(_NUMBERS[kind])


def _skip_array(reader: _Reader) -> None:
    kind, count = int(reader.number("<I")), reader.count()
    if kind == _TEXT:
        reader.skip_texts(count)
    else:
        reader.skip(count * struct.calcsize(_NUMBERS[kind]))
