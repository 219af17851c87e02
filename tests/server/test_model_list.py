from __future__ import annotations

import os
from pathlib import Path

import pytest

from livethread_server.catalogue import Offer
from livethread_server.model_errors import FetchStopped, ModelError
from livethread_server.model_folder import ModelFolder
from livethread_server.model_list import ModelRow, find, rows
from tests.model_files import CONTENT, SHA256, Shelf, offer

SHOP = {
    "tiny": offer(Shelf()),
    "huge": Offer(Shelf(place="huge.gguf"), 5_000_000_000, "0" * 64, "apache-2.0"),
}


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def damage(file: Path) -> None:
    """Change a byte as a bad disk does: neither the size nor the time of change tell."""
    about = file.stat()
    file.write_bytes(CONTENT[:-1] + b"?")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))


def states(found: list[ModelRow]) -> dict[str, str]:
    return {row.name: row.state for row in found}


def test_the_catalogues_models_are_listed_before_they_are_here(folder: ModelFolder) -> None:
    found = rows(folder, SHOP)
    assert states(found) == {"tiny": "missing", "huge": "missing"}
    assert (found[1].size, found[1].licence, found[1].source, found[1].path) == (
        5_000_000_000,
        "apache-2.0",
        "shelf:huge.gguf",
        "",
    )
    with pytest.raises(FetchStopped):
        folder.get("huge", Offer(Shelf(CONTENT, KeyboardInterrupt(), place="huge.gguf"), 1, "0"))
    assert states(rows(folder, SHOP)) == {"tiny": "missing", "huge": "begun"}


def test_a_model_that_is_here_says_what_it_is(folder: ModelFolder) -> None:
    file = folder.get("tiny", SHOP["tiny"])
    assert rows(folder, SHOP)[0] == ModelRow(
        name="tiny",
        served_as="tiny",
        state="whole",
        size=len(CONTENT),
        architecture="llama",
        quantisation="Q4_K_M",
        context=2048,
        licence="mit",
        source="shelf:tiny.gguf@1",
        sha256=SHA256,
        fetched_at=rows(folder, SHOP)[0].fetched_at,
        path=str(file),
    )


def test_what_was_fetched_by_a_source_or_put_there_by_hand_is_listed_too(folder: ModelFolder) -> None:
    folder.get("hf:maker/Tiny/q.gguf", Offer(Shelf(place="hf/maker--Tiny/q.gguf")))
    by_hand = folder.path / "mine.gguf"
    by_hand.write_bytes(CONTENT)
    found = rows(folder, {}, verify=True)
    assert states(found) == {"hf:maker/Tiny/q.gguf": "whole", str(by_hand): "unchecked"}
    assert [row.served_as for row in found] == ["q", "mine"]
    assert {row.licence for row in found} == {"mit"}


@pytest.mark.parametrize("catalogue", [SHOP, {}], ids=["of the catalogue", "of a source"])
def test_hidden_damage_is_found_where_it_is_asked_for(folder: ModelFolder, catalogue: dict[str, Offer]) -> None:
    file = folder.get("tiny", SHOP["tiny"])
    damage(file)
    assert states(rows(folder, catalogue))["tiny"] == "whole"
    assert states(rows(folder, catalogue, verify=True))["tiny"] == "damaged"
    file.write_bytes(b"cut off")
    assert states(rows(folder, catalogue))["tiny"] == "damaged"


def test_a_header_that_cannot_be_read_does_not_hide_the_others(folder: ModelFolder) -> None:
    folder.path.mkdir()
    (folder.path / "bad.gguf").write_bytes(b"GGUF")
    folder.get("tiny", SHOP["tiny"])
    found = rows(folder, SHOP)
    assert states(found)["tiny"] == "whole"
    assert (found[-1].state, found[-1].architecture) == ("unchecked", "")


def test_a_model_is_found_by_its_name_its_source_and_its_path(folder: ModelFolder) -> None:
    tiny = folder.get("tiny", SHOP["tiny"])
    hubbed = folder.get("hf:maker/Tiny/q.gguf", Offer(Shelf(place="elsewhere.gguf")))
    assert find(folder, SHOP, "tiny") == tiny
    assert find(folder, SHOP, "hf:maker/Tiny/q.gguf") == hubbed
    assert find(folder, SHOP, str(tiny)) == tiny


@pytest.mark.parametrize("name", ["huge", "other", "/etc/passwd", "hf:maker/None/q.gguf"])
def test_what_is_not_in_the_folder_is_not_found(folder: ModelFolder, name: str) -> None:
    with pytest.raises(ModelError, match=r"See `livethread models` for what there is\.$"):
        find(folder, SHOP, name)
