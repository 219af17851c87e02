"""Names → model files, without any network."""

from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.catalogue import Offer
from livethread_server.models import DEFAULT_MODEL, ModelError, default_models_dir, locate, offer_of
from livethread_server.sources.hub import HubFile
from livethread_server.sources.pypi import Packed, PypiFile
from tests.model_files import CONTENT, Shelf, offer

HUB = HubFile("maker/Tiny-GGUF", "Tiny.Q8.gguf")
SHOP = {"tiny": offer(Shelf()), "hubbed": Offer(HUB, 1, "0" * 64)}


def _sentence(error: pytest.ExceptionInfo[ModelError]) -> str:
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_name_of_the_catalogue_is_what_clients_call_the_model(tmp_path: Path) -> None:
    models = tmp_path / "new" / "models"
    found = locate("tiny", models, SHOP)
    assert (found.name, found.path) == ("tiny", (models / "shelf" / "tiny.gguf").resolve())
    assert found.path.read_bytes() == CONTENT
    assert locate("tiny", models, SHOP) == found


def test_a_source_of_the_catalogue_is_the_catalogues_model() -> None:
    assert offer_of(str(HUB), SHOP) is SHOP["hubbed"]
    assert offer_of("hf:maker/Tiny-GGUF/Tiny.Q4.gguf", SHOP) == Offer(HubFile("maker/Tiny-GGUF", "Tiny.Q4.gguf"))
    assert offer_of("pypi:tiny/tiny.gguf", {}) == Offer(PypiFile("tiny.gguf", (Packed("tiny", "tiny.gguf"),)))
    assert offer_of("./tiny", SHOP) is None


def test_a_name_that_is_not_well_formed_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Write it as hf:owner") as caught:
        locate("hf:tiny", tmp_path, SHOP)
    _sentence(caught)


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match="--models-dir") as caught:
        locate("tiny", tmp_path / "file" / "models", SHOP)
    assert "tiny" in _sentence(caught)


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "My Model (v2).Q8.gguf"
    path.write_bytes(CONTENT)
    found = locate(str(path), tmp_path / "unused")
    assert (found.name, found.path) == ("My-Model-v2-.Q8", path.resolve())
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("stem", "name"), [("x" * 90, "x" * 64), ("模型", "model"), ("..", "model"), ("a_b-c.d", "a_b-c.d")]
)
def test_a_served_name_fits_and_is_never_a_path(tmp_path: Path, stem: str, name: str) -> None:
    path = tmp_path / f"{stem}.gguf"
    path.write_bytes(CONTENT)
    assert locate(str(path), tmp_path).name == name


def test_a_missing_path_names_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=DEFAULT_MODEL) as caught:
        locate(str(tmp_path / "none.gguf"), tmp_path)
    assert "none.gguf" in _sentence(caught)


def test_a_home_that_nobody_has_is_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model") as caught:
        locate("~no-such-user/model.gguf", tmp_path)
    _sentence(caught)


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a directory") as caught:
        locate(str(tmp_path), tmp_path)
    _sentence(caught)


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\3\4 and so on"])
def test_a_file_of_another_kind_is_not_a_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is not a GGUF file") as caught:
        locate(str(path), tmp_path)
    _sentence(caught)


def test_a_name_that_no_path_can_have_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate("x" * 10_000, tmp_path)
    _sentence(caught)


def test_models_are_kept_in_the_users_cache() -> None:
    assert default_models_dir().parts[-2:] == ("livethread", "models")
