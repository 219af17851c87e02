"""The models that are here, and those that the catalogue could bring: a row each.

It must never know how rows are shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from livethread_server.catalogue import Catalogue, Offer
from livethread_server.gguf_header import GgufHeader, read_header
from livethread_server.model_errors import ModelError
from livethread_server.model_folder import ModelFolder
from livethread_server.model_record import read_record, sha256_of
from livethread_server.models import name_of_file, offer_of

State = Literal["whole", "damaged", "unchecked", "begun", "missing"]
"""``unchecked`` is a file that nobody fetched by a name, so that nobody knows what it must be."""


class ModelRow(Struct, frozen=True, kw_only=True):
    """One model. ``name`` is what --model takes, ``served_as`` what clients call it. Where the file is not here
    ``path`` is empty and ``size``, in bytes, is what is promised. ``context`` is in tokens, 0 where nobody knows."""

    name: str
    served_as: str
    state: State
    size: int
    architecture: str
    quantisation: str
    context: int
    licence: str
    source: str
    sha256: str
    fetched_at: str
    path: str


def rows(folder: ModelFolder, catalogue: Catalogue, *, verify: bool = False) -> list[ModelRow]:
    """All models of a folder and a catalogue. ``verify`` reads every file whole; raises OSError."""
    offered = [_offered(folder, name, offer, catalogue, verify) for name, offer in catalogue.items()]
    places = {folder.file_of(offer) for offer in catalogue.values()}
    return offered + [_found(file, verify) for file in folder.files() if file not in places]


def find(folder: ModelFolder, catalogue: Catalogue, name: str) -> Path:
    """Where the model of a name is kept, or was begun to be. `ModelError` where nothing of it is here."""
    recorded = [file for file in folder.files() if (record := read_record(file)) and record.name == name]
    if recorded and name not in catalogue:
        return recorded[0]
    offer = offer_of(name, catalogue)
    file = Path(name) if offer is None else folder.file_of(offer)
    if file in folder.files() or (offer and folder.begun(offer)):
        return file
    raise ModelError(f"There is no model {name} in {folder.path}. See `livethread models` for what there is.")


def _offered(folder: ModelFolder, name: str, offer: Offer, catalogue: Catalogue, verify: bool) -> ModelRow:
    file = folder.file_of(offer)
    if file.is_file():
        whole = folder.is_whole(name, offer) and (not verify or sha256_of(file) == offer.sha256)
        return _row(name, name, file, "whole" if whole else "damaged", offer.licence)
    return ModelRow(
        name=name,
        served_as=name,
        state="begun" if folder.begun(offer) else "missing",
        size=offer.size,
        architecture="",
        quantisation="",
        context=0,
        licence=offer.licence,
        source=str(offer.source),
        sha256=offer.sha256,
        fetched_at="",
        path="",
    )


def _found(file: Path, verify: bool) -> ModelRow:
    record = read_record(file)
    if record is None:
        return _row(str(file), name_of_file(file), file, "unchecked")
    whole = record.proves(file) if verify or not record.fits(file) else True
    return _row(record.name, name_of_file(file), file, "whole" if whole else "damaged")


def _row(name: str, served_as: str, file: Path, state: State, licence: str = "") -> ModelRow:
    header, record = _header(file), read_record(file)
    return ModelRow(
        name=name,
        served_as=served_as,
        state=state,
        size=file.stat().st_size,
        architecture=header.architecture,
        quantisation=header.quantisation,
        context=header.context,
        licence=licence or header.licence,
        source=record.source if record else "",
        sha256=record.sha256 if record else "",
        fetched_at=record.fetched_at if record else "",
        path=str(file),
    )


def _header(file: Path) -> GgufHeader:
    try:
        return read_header(file)
    except ModelError:
        return GgufHeader()
