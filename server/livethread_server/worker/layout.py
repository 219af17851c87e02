"""How KV cells are laid out, where that is left to us: by what computes.

On a CPU the split layout without flash attention is the fastest in every situation that was measured but the
shortest contexts, up to ten times (ARCHITECTURE.md). GPUs have no such measurement here: there llama.cpp's own
server's choice holds, one pool of cells with flash attention. This module must never know llama.cpp.
"""

from __future__ import annotations

from msgspec import Struct

from livethread_server.engine.wire import Configure


class Layout(Struct, frozen=True):
    """Whether every sequence has its own cells, and whether flash attention is used."""

    split: bool
    flash_attention: bool


def choose(configure: Configure, *, gpu: bool) -> Layout:
    """What was configured; what was not as it suits a ``gpu`` or a CPU."""
    split = not gpu if configure.layout == "auto" else configure.layout == "split"
    flash = gpu if configure.flash_attention is None else configure.flash_attention
    return Layout(split, flash)
