from __future__ import annotations

import re
from pathlib import Path

import pytest

from livethread_server.catalogue import CATALOGUE, DEFAULT_MODEL
from livethread_server.models import name_of_file, offer_of
from livethread_server.sources.hub import HubFile
from livethread_server.sources.pypi import PypiFile


def test_the_catalogue_keeps_every_model_in_a_place_of_its_own() -> None:
    places = [offer.place for offer in CATALOGUE.values()]
    assert len(set(places)) == len(places)
    assert all(place.endswith(".gguf") for place in places)
    assert DEFAULT_MODEL in CATALOGUE


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_model_is_promised_to_the_byte(name: str) -> None:
    offer = CATALOGUE[name]
    assert re.fullmatch("[0-9a-f]{64}", offer.sha256)
    assert offer.size > 50_000_000
    assert offer.licence
    assert name == name_of_file(Path(f"{name}.gguf"))
    match offer.source:
        case PypiFile(parts=parts):
            assert all(part.version for part in parts)
        case HubFile(revision=revision):
            assert re.fullmatch("[0-9a-f]{40}", revision)
            assert offer_of(str(offer.source)) is offer
        case _:
            pytest.fail("a source of another kind")
