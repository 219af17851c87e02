"""Files from a hub of our own on loopback, through huggingface_hub: the real one is never asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.model_errors import ModelError
from livethread_server.sources.hub import HubFile
from tests.hub import COMMIT, REPO, Hub, hub

CHUNK = 10 << 20  # huggingface_hub writes downloads in pieces of so many bytes
CONTENT = b"GGUF" + bytes(range(251)) * ((CHUNK + CHUNK // 2) // 251)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TINY = HubFile(REPO, "tiny.gguf")


@pytest.fixture
def a_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub(monkeypatch) as made:
        made.files = {"tiny.gguf": b"GGUF small", "Q8/tiny.gguf": b"GGUF large"}
        yield made


def refusal(source: HubFile, folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        source.fetch(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not list(folder.iterdir())
    return text


def test_a_file_comes_with_its_commit_and_the_hash_that_the_hub_promises(a_hub: Hub, tmp_path: Path) -> None:
    fetched = TINY.fetch(tmp_path)
    assert fetched.path.read_bytes() == b"GGUF small"
    assert fetched.origin == f"hf:{REPO}@{COMMIT}/tiny.gguf"
    assert fetched.sha256 == hashlib.sha256(b"GGUF small").hexdigest()


def test_a_revision_and_a_folder_are_asked_for(a_hub: Hub, tmp_path: Path) -> None:
    fetched = HubFile(REPO, "Q8/tiny.gguf", COMMIT).fetch(tmp_path)
    assert fetched.path.read_bytes() == b"GGUF large"
    assert a_hub.asked[0].path == f"/{REPO}/resolve/{COMMIT}/Q8/tiny.gguf"


def test_a_token_goes_to_the_hub_and_not_to_where_the_bytes_are(
    a_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    TINY.fetch(tmp_path)
    assert [asked.token for asked in a_hub.downloads()] == [""]


def test_a_connection_that_is_cut_is_gone_on_with_where_it_was(
    a_hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a_hub.files["tiny.gguf"] = CONTENT
    a_hub.cut = [CHUNK + 1000]
    fetched = TINY.fetch(tmp_path)
    assert hashlib.sha256(fetched.path.read_bytes()).hexdigest() == SHA256 == fetched.sha256
    assert [asked.range for asked in a_hub.downloads()] == ["", f"bytes={CHUNK}-"]
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "Fetching tiny.gguf …"
    assert lines[-1].startswith("Fetching tiny.gguf: 100 %")


def test_a_stopped_fetch_is_gone_on_with_by_the_next_one(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.files["tiny.gguf"] = CONTENT
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:CHUNK])
    (tmp_path / "older.part").write_bytes(b"of a file that was replaced")
    fetched = TINY.fetch(tmp_path)
    assert fetched.path.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == [f"{SHA256}.part"]
    assert sum(asked.sent for asked in a_hub.downloads()) == len(CONTENT) - CHUNK


@pytest.mark.parametrize("held", [len(b"GGUF small"), 100], ids=["whole", "too long"])
def test_a_part_that_is_whole_is_not_fetched_again_and_one_that_is_too_long_is(
    a_hub: Hub, tmp_path: Path, held: int
) -> None:
    content = b"GGUF small"
    (tmp_path / f"{hashlib.sha256(content).hexdigest()}.part").write_bytes(content.ljust(held, b"?"))
    assert TINY.fetch(tmp_path).path.read_bytes() == content
    assert len(a_hub.downloads()) == (0 if held == len(content) else 1)


def test_what_the_users_cache_of_the_hub_has_is_copied(
    a_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    cache, folder = tmp_path / "cache", tmp_path / "folder"
    snapshot = cache / f"models--{REPO.replace('/', '--')}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    folder.mkdir()
    (snapshot / "tiny.gguf").write_bytes(b"GGUF small")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))  # read from HF_HOME once, when it is imported
    assert TINY.fetch(folder).path.read_bytes() == b"GGUF small"
    assert a_hub.downloads() == []
    assert "Copying tiny.gguf from" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (HubFile("maker/Other", "tiny.gguf"), "shows no repository maker/Other: there is none, or it is private"),
        (HubFile(REPO, "other.gguf"), f"{REPO} has no file 'other.gguf'"),
        (HubFile(REPO, "tiny.gguf", "v9"), f"{REPO} has no revision 'v9'"),
        (HubFile("maker/a--b", "tiny.gguf"), "hf:maker/a--b/tiny.gguf does not name a repository of the hub"),
    ],
)
def test_what_is_not_there_is_one_clear_sentence(a_hub: Hub, tmp_path: Path, source: HubFile, says: str) -> None:
    assert says in refusal(source, tmp_path)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ((403, "GatedRepo"), "is gated. Accept its licence at "),
        ((401, ""), "Check the token in HF_TOKEN"),
        ((403, ""), "Check the token in HF_TOKEN"),
        ((503, ""), "answers 503. Try again later"),
    ],
)
def test_a_hub_that_refuses_is_one_clear_sentence(
    a_hub: Hub, tmp_path: Path, error: tuple[int, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    a_hub.error = error
    assert says in refusal(TINY, tmp_path)


def test_a_hub_that_cannot_be_reached_is_one_clear_sentence(
    a_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1/")  # nobody listens at TCP port 1
    text = refusal(TINY, tmp_path)
    assert "http://127.0.0.1:1 does not answer" in text
    assert "Check the network, HF_ENDPOINT" in text


def test_a_server_that_is_no_hub_is_one_clear_sentence(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.error = (204, "")
    assert "does not say which commit it has" in refusal(TINY, tmp_path)


def test_a_file_of_another_size_than_promised_is_one_clear_sentence(a_hub: Hub, tmp_path: Path) -> None:
    a_hub.size = 999
    with pytest.raises(ModelError, match=r"should be of size 999 but has size 10 .*\. Try again later\.$") as caught:
        TINY.fetch(tmp_path)
    assert "\n" not in str(caught.value)


def test_working_offline_is_respected(a_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # read from its variable once, when it is imported
    assert "HF_HUB_OFFLINE is set" in refusal(TINY, tmp_path)
    assert a_hub.asked == []
