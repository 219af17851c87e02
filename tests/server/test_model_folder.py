"""The folder of model files, with a source that needs no network."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from pathlib import Path

import pytest

from livethread_server.catalogue import Offer
from livethread_server.model_errors import FetchStopped, ModelError
from livethread_server.model_folder import ModelFolder
from livethread_server.model_record import read_record, record_path
from tests.model_files import CONTENT, SHA256, Shelf, offer, refused

OTHER = CONTENT[:-1] + b"?"


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def names(file: Path) -> list[str]:
    """What is beside a model file, but for its lock."""
    return sorted(path.name for path in file.parent.iterdir() if not path.name.endswith(".lock"))


def put(folder: ModelFolder, content: bytes) -> Path:
    file = folder.path / "shelf" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def test_a_missing_model_is_fetched_once_and_recorded(folder: ModelFolder) -> None:
    shelf = Shelf()
    file = folder.get("tiny", offer(shelf))
    assert file.read_bytes() == CONTENT
    record = read_record(file)
    assert record is not None
    assert (record.name, record.source, record.size) == ("tiny", "shelf:tiny.gguf@1", len(CONTENT))
    assert record.sha256 == SHA256
    assert record.fits(file)
    assert folder.get("tiny", offer(shelf)) == file
    assert shelf.fetched == 1
    assert names(file) == ["tiny.gguf", "tiny.gguf.json"]


def test_a_model_that_nobody_promised_is_what_its_record_says(folder: ModelFolder) -> None:
    shelf = Shelf()
    file = folder.get("tiny", Offer(shelf))
    os.utime(file, ns=(0, 0))
    assert folder.get("tiny", Offer(shelf)) == file
    assert shelf.fetched == 1
    record_path(file).unlink()
    folder.get("tiny", Offer(shelf))
    assert shelf.fetched == 2


def test_a_whole_model_of_an_older_version_is_taken_on(folder: ModelFolder) -> None:
    shelf, file = Shelf(), put(folder, CONTENT)
    assert folder.get("tiny", offer(shelf)) == file.resolve()
    record = read_record(file)
    assert record is not None
    assert record.fits(file)
    assert shelf.fetched == 0


def test_a_damaged_model_is_fetched_again_and_it_says_so(
    folder: ModelFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    file = put(folder, OTHER)
    folder.get("tiny", offer(Shelf()))
    assert file.read_bytes() == CONTENT
    assert f"The model file {file} is damaged: it is fetched again." in capfd.readouterr().err


def test_a_damaged_model_stays_where_nothing_better_can_be_had(folder: ModelFolder) -> None:
    file = put(folder, b"damaged")
    with pytest.raises(ModelError, match="The shelf is closed"):
        folder.get("tiny", offer(Shelf(CONTENT, refused())))
    assert file.read_bytes() == b"damaged"


@pytest.mark.parametrize("promised_by", ["catalogue", "source"])
def test_another_file_than_the_promised_one_is_refused_and_removed(folder: ModelFolder, promised_by: str) -> None:
    shelf = Shelf(OTHER)
    if promised_by == "source":
        shelf.promised = SHA256
    wanted = Offer(shelf, 0, SHA256) if promised_by == "catalogue" else Offer(shelf)
    with pytest.raises(ModelError, match=f"not {SHA256}. It was removed. Try again") as caught:
        folder.get("tiny", wanted)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert names(folder.file_of(wanted)) == []


def test_what_is_no_gguf_file_is_refused_and_removed(folder: ModelFolder) -> None:
    shelf = Shelf(b"<html>")
    with pytest.raises(ModelError, match=r"6 bytes, is not a GGUF file\. It was removed"):
        folder.get("tiny", Offer(shelf))
    assert names(folder.file_of(Offer(shelf))) == []


@pytest.mark.parametrize("way", [KeyboardInterrupt(), refused()])
def test_what_came_of_a_fetch_that_did_not_end_is_kept(folder: ModelFolder, way: BaseException) -> None:
    wanted = offer(Shelf(CONTENT, way))
    with pytest.raises(ModelError):
        folder.get("tiny", wanted)
    assert folder.begun(wanted) == 1
    assert not folder.is_whole("tiny", wanted)
    folder.get("tiny", wanted)
    assert folder.begun(wanted) == 0


def test_a_stopped_fetch_says_what_is_kept(folder: ModelFolder) -> None:
    with pytest.raises(FetchStopped, match=r"Fetching tiny was stopped\. 0\.0 MB are kept: fetch it again"):
        folder.get("tiny", offer(Shelf(CONTENT, KeyboardInterrupt())))


def test_what_an_older_version_left_behind_is_swept_away(folder: ModelFolder) -> None:
    leftover = folder.path / "shelf" / ".fetching-abc"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(b"half")
    assert names(folder.get("tiny", offer(Shelf()))) == ["tiny.gguf", "tiny.gguf.json"]


def test_who_fetches_already_is_waited_for(folder: ModelFolder, capfd: pytest.CaptureFixture[str]) -> None:
    file, shelf = put(folder, b""), Shelf()
    file.unlink()
    with (file.parent / ".tiny.gguf.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=folder.get, args=("tiny", offer(shelf)))
        second.start()
        while "Another process fetches tiny.gguf: it is waited for." not in capfd.readouterr().err:
            assert second.is_alive()
        file.write_bytes(CONTENT)
    second.join()
    assert shelf.fetched == 0


def test_the_files_are_found_wherever_they_are(folder: ModelFolder) -> None:
    assert folder.files() == []
    first, second = Shelf(place="a/b/ONE.GGUF"), Shelf(place="two.gguf")
    for shelf in (first, second):
        folder.get("x", offer(shelf))
    assert [str(file.relative_to(folder.path)) for file in folder.files()] == ["a/b/ONE.GGUF", "two.gguf"]


def test_a_removed_model_leaves_nothing(folder: ModelFolder) -> None:
    wanted = offer(Shelf(place="a/b/one.gguf"))
    folder.get("one", wanted)
    folder.get("two", offer(Shelf(place="two.gguf")))
    assert folder.remove(folder.file_of(wanted)) == len(CONTENT)
    assert sorted(path.name for path in folder.path.iterdir()) == [".two.gguf.lock", "two.gguf", "two.gguf.json"]
    assert folder.remove(folder.file_of(wanted)) == 0


def test_what_was_begun_is_removed_too(folder: ModelFolder) -> None:
    wanted = offer(Shelf(CONTENT, KeyboardInterrupt()))
    with pytest.raises(FetchStopped):
        folder.get("tiny", wanted)
    assert folder.remove(folder.file_of(wanted)) == 1
    assert list(folder.path.iterdir()) == []
