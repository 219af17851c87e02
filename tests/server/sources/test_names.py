from __future__ import annotations

import pytest

from livethread_server.model_errors import ModelError
from livethread_server.sources.hub import HubFile
from livethread_server.sources.names import NAME_CHARACTERS, source_of
from livethread_server.sources.pypi import Packed, PypiFile


@pytest.mark.parametrize(
    ("name", "source", "place"),
    [
        (
            "pypi:llm-tiny/Tiny.Q4.gguf",
            PypiFile("Tiny.Q4.gguf", (Packed("llm-tiny", "Tiny.Q4.gguf"),)),
            "pypi/llm-tiny/Tiny.Q4.gguf",
        ),
        (
            "pypi:llm-tiny==1.0/llm_tiny/Tiny.gguf",
            PypiFile("Tiny.gguf", (Packed("llm-tiny", "llm_tiny/Tiny.gguf", "1.0"),)),
            "pypi/llm-tiny==1.0/llm_tiny/Tiny.gguf",
        ),
        ("hf:maker/Tiny-GGUF/tiny.gguf", HubFile("maker/Tiny-GGUF", "tiny.gguf"), "hf/maker--Tiny-GGUF/tiny.gguf"),
        (
            "hf:maker/Tiny@v1.0/Q8/tiny (2).GGUF",
            HubFile("maker/Tiny", "Q8/tiny (2).GGUF", "v1.0"),
            "hf/maker--Tiny@v1.0/Q8/tiny (2).GGUF",
        ),
    ],
)
def test_a_name_names_a_source_and_is_its_text(name: str, source: PypiFile | HubFile, place: str) -> None:
    found = source_of(name)
    assert found == source
    assert found is not None
    assert (str(found), found.place) == (name, place)


@pytest.mark.parametrize("name", ["tiny", "./pypi:x/y.gguf", "/models/hf:x.gguf", "HF:maker/Tiny/tiny.gguf", ""])
def test_other_names_name_no_source(name: str) -> None:
    assert source_of(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "pypi:",
        "pypi:llm-tiny",
        "pypi:/tiny.gguf",
        "pypi:--index-url=http://evil/tiny.gguf",
        "pypi:llm-tiny>=1/tiny.gguf",
        "pypi:llm-tiny[x]/tiny.gguf",
        "hf:tiny.gguf",
        "hf:maker/tiny.gguf",
        "hf:maker/Tiny@/tiny.gguf",
        "hf:maker/Tiny/../../tiny.gguf",
        "hf:maker/Tiny//tiny.gguf",
        "hf:../Tiny/tiny.gguf",
        "hf:maker/Tiny/.hidden.gguf",
        "hf:maker/Tiny/a\nb.gguf",
        "hf:maker/Tiny/a\x00.gguf",
        "hf:maker/Tiny/" + NAME_CHARACTERS * "x" + ".gguf",
    ],
)
def test_a_name_that_is_not_well_formed_is_refused_with_the_form(name: str) -> None:
    with pytest.raises(ModelError, match=r"does not name a model\. Write it as (pypi|hf):") as caught:
        source_of(name)
    assert "\n" not in str(caught.value)


def test_only_single_gguf_files_are_named() -> None:
    with pytest.raises(ModelError, match="does not name a GGUF file"):
        source_of("hf:maker/Tiny/model.safetensors")
    with pytest.raises(ModelError, match="one of several files"):
        source_of("hf:maker/Huge/huge-00001-of-00003.gguf")
