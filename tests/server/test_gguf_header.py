from __future__ import annotations

import struct
from pathlib import Path

import llama_cpp
import pytest

from livethread_server.gguf_header import QUANTISATIONS, GgufHeader, read_header
from livethread_server.model_errors import ModelError
from tests.gguf import TEXT, U32, gguf
from tests.model_files import CONTENT


def test_a_header_is_read_past_its_vocabulary(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(CONTENT)
    assert read_header(file) == GgufHeader("llama", "Q4_K_M", 2048, "mit")


def test_what_a_header_does_not_say_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(gguf([("general.file_type", U32, 9999), ("general.architecture", U32, 3)]))
    assert read_header(file) == GgufHeader("3")
    file.write_bytes(gguf([("general.architecture", TEXT, "x"), ("x.context_length", TEXT, "long")]))
    assert read_header(file) == GgufHeader("x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"PK" + CONTENT[2:],
        CONTENT[:60],
        CONTENT[:150],
        struct.pack("<4sIQQ", b"GGUF", 1, 0, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**63),
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**63),
        struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 77),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 2, 1, b"k", 9, 8, 2**63),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 2, 1, b"k", 9, 4, 2**63),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 2, 1, b"k", 9, 9, 1),
    ],
)
def test_what_is_no_header_is_one_clear_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"cannot be read\. Fetch it again\.$"):
        read_header(file)


def test_the_quantisations_are_llama_cpps() -> None:
    known = {
        getattr(llama_cpp, name): name.removeprefix("LLAMA_FTYPE_MOSTLY_").removeprefix("LLAMA_FTYPE_ALL_")
        for name in dir(llama_cpp)
        if name.startswith(("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_"))
    }
    assert {number: name for number, name in known.items() if number in QUANTISATIONS} == QUANTISATIONS


def test_a_real_model_says_what_it_is(model_path: Path) -> None:
    assert read_header(model_path) == GgufHeader("llama", "Q4_1", 8192, "apache-2.0")
