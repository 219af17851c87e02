from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
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


def test_the_reading_of_a_folder_follows_no_link_and_waits_for_no_pipe(
    shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head, rows = chunk()
    shelf.write(head, rows)
    elsewhere = tmp_path / "elsewhere"
    file_of(tmp_path, head).rename(elsewhere)
    for put in (lambda path: path.symlink_to(elsewhere), os.mkfifo, Path.mkdir):
        for look in (lambda: shelf.read(head), lambda: shelf.scan(FINGERPRINT)):
            put(file_of(tmp_path, head))
            caplog.clear()
            with caplog.at_level(logging.WARNING), contextlib.suppress(BadChunk, OSError):
                assert look() == []
            assert not os.path.lexists(file_of(tmp_path, head))
            assert len(caplog.records) == 1
    assert elsewhere.exists()


def test_nothing_is_written_through_a_link(shelf: Shelf, tmp_path: Path) -> None:
    head, rows = chunk()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = file_of(tmp_path, head)
    path.symlink_to(victim)
    path.with_suffix(".new").symlink_to(victim)
    shelf.write(head, rows)
    assert victim.read_bytes() == b"precious"
    assert not path.is_symlink()
    assert np.array_equal(shelf.read(head), rows)


def test_notes_that_are_links_are_removed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write_note(Note("t", (b"1" * 32,)))
    (note,) = (tmp_path / "threads").iterdir()
    note.rename(tmp_path / "note")
    note.symlink_to(tmp_path / "note")
    assert list(shelf.notes()) == []
    assert not os.path.lexists(note)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_damaged_key_is_drawn_anew_and_what_it_was_for_is_a_miss(
    tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path, key=key_in(tmp_path), durable=True)
    head, rows = chunk()
    shelf.write(head, rows)
    shelf.write_note(Note("t", (head.name,)))
    (tmp_path / "key").write_bytes(b"k" * size)
    with caplog.at_level(logging.WARNING):
        again = Shelf(tmp_path, key=key_in(tmp_path), durable=True)
    assert "key" in caplog.text
    assert list(again.notes()) == []
    with pytest.raises(BadChunk):
        again.read(head)
    assert (tmp_path / "key").stat().st_size == 32


def test_another_key_makes_everything_a_miss(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, key=key_in(tmp_path), durable=True)
    head, rows = chunk()
    shelf.write(head, rows)
    (tmp_path / "key").write_bytes(b"k" * 32)
    with pytest.raises(BadChunk):
        Shelf(tmp_path, key=key_in(tmp_path), durable=True).read(head)
    assert not file_of(tmp_path, head).exists()


@pytest.mark.parametrize("name", ["chunks", "threads", "key"])
def test_a_folder_that_is_not_as_it_should_be_cannot_be_a_shelf(tmp_path: Path, name: str) -> None:
    if name == "key":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(OSError, match=r"\[Errno"):
        Shelf(tmp_path, key=key_in(tmp_path), durable=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
@pytest.mark.parametrize("name", ["chunks", "threads"])
def test_an_unreadable_folder_cannot_be_a_shelf(tmp_path: Path, name: str) -> None:
    Shelf(tmp_path, key=key_in(tmp_path), durable=True)
    (tmp_path / name).chmod(0)
    with pytest.raises(PermissionError):
        Shelf(tmp_path, key=key_in(tmp_path), durable=True)
    (tmp_path / name).chmod(0o700)


FILL = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from livethread_server.worker.chunk import Namer, scope_of
from livethread_server.worker.shelf import Shelf, key_in

folder = Path(sys.argv[1])
shelf = Shelf(folder, key=key_in(folder), durable=True)
(head,) = Namer(b"f" * 32, 8).chain(np.arange(200, dtype="<i4").tobytes(), scope_of("a"), 0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    shelf.write(head, np.zeros(head.size, np.uint8))
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(list((folder / "chunks").iterdir())))
shelf.write(head, np.zeros(head.size, np.uint8))
print(len(shelf.read(head)) == head.size)
"""


def test_a_write_that_the_system_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["File too large", "0", "True"]
