from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from livethread_server.worker.chunk import BadChunk, Head, Namer, scope_of
from livethread_server.worker.shelf import Note, Shelf, key_in

FINGERPRINT = b"f" * 32
NAMER = Namer(FINGERPRINT, 8)


def chunk(first: int = 0, count: int = 20) -> tuple[Head, np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    data = np.arange(first, first + count, dtype="<i4").tobytes()
    (head,) = NAMER.chain(data, scope_of("alice"), 0)
    return head, np.full(head.size, first % 251, np.uint8)


@pytest.fixture(params=["quick", "durable"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, key=key_in(tmp_path), durable=request.param == "durable")


def file_of(folder: Path, head: Head) -> Path:
    return folder / "chunks" / head.name.hex()


def test_what_was_written_is_read_and_found_again(shelf: Shelf) -> None:
    head, rows = chunk()
    shelf.write(head, rows)
    assert np.array_equal(shelf.read(head), rows)
    assert np.array_equal(shelf.read(head, np.empty(10_000, np.uint8)), rows)
    assert np.array_equal(shelf.read(head, np.empty(3, np.uint8)), rows)
    assert [found for _, found in shelf.scan(FINGERPRINT)] == [head]


def test_what_was_removed_is_gone(shelf: Shelf) -> None:
    head, rows = chunk()
    shelf.write(head, rows)
    shelf.remove(head.name)
    shelf.remove(head.name)
    with pytest.raises(FileNotFoundError):
        shelf.read(head)


def test_the_one_used_longest_ago_is_found_first(shelf: Shelf, tmp_path: Path) -> None:
    heads = []
    for number in range(3):
        head, rows = chunk(100 * number)
        shelf.write(head, rows)
        os.utime(file_of(tmp_path, head), (1000 + number, 1000 + number))
        heads.append(head)
    shelf.read(heads[0])
    assert [found for _, found in shelf.scan(FINGERPRINT)] == [heads[1], heads[2], heads[0]]


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def grown(data: bytes) -> bytes:
    return data + b"x"


def other_beginning(data: bytes) -> bytes:
    return b"GGUF" + data[4:]


def other_count(data: bytes) -> bytes:
    return data[:16] + b"\xff" * 8 + data[24:]


def other_token(data: bytes) -> bytes:
    return data[:144] + b"\x09" + data[145:]


@pytest.mark.parametrize("harm", [cut_short, grown, other_beginning, other_count, other_token])
def test_a_harmed_file_is_refused_said_once_and_removed(
    shelf: Shelf, tmp_path: Path, harm: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    head, rows = chunk()
    for look in (lambda: shelf.read(head), lambda: shelf.scan(FINGERPRINT)):
        shelf.write(head, rows)
        path = file_of(tmp_path, head)
        path.write_bytes(harm(path.read_bytes()))
        caplog.clear()
        with caplog.at_level(logging.WARNING), contextlib.suppress(BadChunk):
            assert look() == []
        assert not path.exists()
        assert len(caplog.records) == 1


@pytest.mark.parametrize("at", [-1, -40, 60, 230])
def test_a_flipped_byte_is_found_by_the_tag(shelf: Shelf, tmp_path: Path, at: int) -> None:
    head, rows = chunk()
    shelf.write(head, rows)
    data = bytearray(file_of(tmp_path, head).read_bytes())
    data[at] ^= 1
    file_of(tmp_path, head).write_bytes(data)
    with pytest.raises(BadChunk):
        shelf.read(head)


def test_chunks_of_another_model_are_removed_with_one_line(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        shelf.write(*chunk(100 * number))
    assert shelf.scan(b"g" * 32) == []
    assert len(caplog.records) == 1
    assert not list((tmp_path / "chunks").iterdir())


def test_what_a_death_left_half_written_is_removed(shelf: Shelf, tmp_path: Path) -> None:
    head, rows = chunk()
    shelf.write(head, rows)
    half = file_of(tmp_path, head).with_suffix(".new")
    half.write_bytes(b"half")
    assert len(shelf.scan(FINGERPRINT)) == 1
    assert not half.exists()


def test_notes_are_found_again_and_the_newest_counts(shelf: Shelf) -> None:
    shelf.write_note(Note("t", (b"1" * 32,)))
    shelf.write_note(Note("t", (b"1" * 32, b"2" * 32)), durable=True)
    shelf.write_note(Note("ü/../x", ()))
    assert {note.thread: note.names for note in shelf.notes()} == {"t": (b"1" * 32, b"2" * 32), "ü/../x": ()}
    shelf.remove_note("t")
    shelf.remove_note("t")
    assert [note.thread for note in shelf.notes()] == ["ü/../x"]


def test_notes_that_were_harmed_or_swapped_are_removed(shelf: Shelf, tmp_path: Path) -> None:
    for thread in ("a", "b", "c"):
        shelf.write_note(Note(thread, ()))
    a, b, c = (tmp_path / "threads").iterdir()
    a.write_bytes(b.read_bytes())
    c.write_bytes(b"\xff" * 100)
    assert len(list(shelf.notes())) == 1
    assert list((tmp_path / "threads").iterdir()) == [b]


def test_the_key_stays_and_is_for_the_owner_alone(tmp_path: Path) -> None:
    key = key_in(tmp_path / "new")
    assert key_in(tmp_path / "new") == key
    assert (tmp_path / "new" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
