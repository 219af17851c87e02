"""Names → model files, which live outside the state directory.

A model is named by the catalogue, by a source (``pypi:…``, ``hf:…``), and then fetched where it is missing, or by a
path. This module must never know how a file is fetched or what is inside it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs
from msgspec import Struct

from livethread_server.catalogue import CATALOGUE, DEFAULT_MODEL, Catalogue, Offer
from livethread_server.model_errors import ModelError
from livethread_server.model_folder import ModelFolder
from livethread_server.model_record import is_gguf
from livethread_server.sources.names import source_of

__all__ = ["DEFAULT_MODEL", "ModelError", "ModelFile", "default_models_dir", "locate", "name_of_file", "offer_of"]


class ModelFile(Struct, frozen=True):
    """Where a model is. ``name`` is what clients call it, never a path."""

    name: str
    path: Path


def default_models_dir() -> Path:
    """Where models are kept unless the operator says otherwise: in the user's cache folder."""
    return platformdirs.user_cache_path("livethread") / "models"


def locate(model: str, models_dir: Path, catalogue: Catalogue = CATALOGUE) -> ModelFile:
    """The file of a model that is named by ``catalogue``, by a source or by a path.

    What has a name is fetched into ``models_dir`` where it is missing or damaged, with progress on standard error,
    and its SHA-256 is checked; afterwards again whenever the file has changed. Raises `ModelError`.
    """
    try:
        offer = offer_of(model, catalogue)
        if offer is None:
            path = _checked_path(model, catalogue)
            return ModelFile(name_of_file(path), path)
        served = model if model in catalogue else name_of_file(Path(offer.place))
        return ModelFile(served, ModelFolder(models_dir).get(model, offer))
    except OSError as error:
        raise ModelError(
            f"The model {model} cannot be had: {error.strerror or error} ({error.filename or models_dir}). "
            "Check the path and its permissions, or choose another folder with --models-dir."
        ) from None


def offer_of(model: str, catalogue: Catalogue = CATALOGUE) -> Offer | None:
    """What a name names; None where it must be a path. Raises `ModelError` where it is not well-formed."""
    if model in catalogue:
        return catalogue[model]
    source = source_of(model)
    known = (offer for offer in catalogue.values() if offer.source == source)
    return None if source is None else next(known, Offer(source))


def name_of_file(path: Path) -> str:
    """What clients call a model that has no name but its file's: never a path."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:64]
    return name if re.search("[A-Za-z0-9]", name) else "model"


def _checked_path(model: str, catalogue: Catalogue) -> Path:
    path = Path(os.path.expanduser(model))
    if path.is_dir():
        raise ModelError(f"The model {model} is a directory. Give the path of a GGUF file in it.")
    if not path.exists():
        raise ModelError(
            f"There is no model {model}: it is neither the path of a file nor in the catalogue "
            f"({', '.join(catalogue)}). Check the name, or name a source: pypi:package/file.gguf or "
            "hf:owner/repo/file.gguf."
        )
    if not is_gguf(path):
        raise ModelError(f"The model file {model} is not a GGUF file. Give the path of one.")
    return path.resolve()
