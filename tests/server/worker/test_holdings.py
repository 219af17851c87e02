from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.worker.shelf import Note
from tests.kept import ALICE, NAMER, Kept, fail, rows_for, tokens

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.files.close()


def notes(kept: Kept, tier: str) -> dict[str, int]:
    """How many chunks the notes of a tier name, by thread."""
    shelf = next(each.shelf for name, each in kept.tiers.items() if name == tier)
    return {note.thread: len(note.names) for note in shelf.notes()}


def test_a_note_on_disk_is_written_once_all_chunks_are_there(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    assert (notes(kept, "ram"), notes(kept, "disk")) == ({"t": 2}, {})
    kept.sink("t")
    assert notes(kept, "disk") == {"t": 2}
    kept.keep("t", tokens(600))
    assert (notes(kept, "ram"), notes(kept, "disk")) == ({"t": 3}, {"t": 2})
    kept.sink("t")
    assert notes(kept, "disk") == {"t": 3}


def test_who_waits_for_the_disk_is_told_when_it_cannot_be_had(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    fail(kept.tiers["disk"], FULL)
    kept.sink("t")
    assert kept.archive.where("t") == ("ram", 300)
    assert notes(kept, "disk") == {}
    fail(kept.tiers["disk"], None)
    kept.tiers["disk"].rests_until = 0.0
    kept.sink("t")
    assert notes(kept, "disk") == {"t": 2}


def test_who_waits_for_a_thread_that_is_forgotten_or_unknown_is_told(kept: Kept) -> None:
    told: list[str] = []
    kept.keep("t", tokens(300))
    kept.archive.sink("t", lambda: told.append("t"))
    kept.archive.forget("t")
    kept.archive.forget("t")
    kept.archive.sink("nobody", lambda: told.append("nobody"))
    assert told == ["t", "nobody"]
    kept.settle()
    assert (notes(kept, "ram"), notes(kept, "disk"), kept.files_in("disk")) == ({}, {}, 0)


def test_what_ram_says_is_newer_than_what_the_disk_says(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    kept.sink("t")
    kept.keep("t", tokens(400))
    again = Kept(kept.folder)
    assert again.archive.where("t") == ("ram", 400)
    assert again.archive.changed() == {"t"}
    again.sink("t")
    assert notes(again, "disk") == {"t": 2}
    assert again.files_in("disk") == 2
    again.files.close()


def test_a_thread_is_had_as_far_as_its_chunks_are_there_without_a_gap(kept: Kept) -> None:
    heads = kept.keep("t", tokens(600))
    kept.sink("t")
    (kept.folder / "disk" / "chunks" / heads[1].name.hex()).unlink()
    again = Kept(kept.folder, ram=0)
    assert again.archive.where("t") == ("disk", 256)
    assert not again.archive.holds("t", heads)
    again.files.close()


def test_a_thread_of_which_nothing_is_left_is_forgotten_at_the_start(kept: Kept) -> None:
    kept.tiers["disk"].shelf.write_note(Note("ghost", (b"1" * 32,)))
    kept.tiers["disk"].shelf.write_note(Note("empty", ()))
    again = Kept(kept.folder)
    again.settle()
    assert list(again.archive.threads) == []
    assert notes(again, "disk") == {}
    again.files.close()


def test_tails_that_nobody_holds_are_removed_at_the_start_whole_chunks_stay(kept: Kept) -> None:
    for head in NAMER.chain(tokens(300), ALICE, 0):
        kept.tiers["disk"].shelf.write(head, rows_for([head])[head.name])
    again = Kept(kept.folder)
    again.settle()
    assert again.files_in("disk") == 1
    assert again.found(tokens(300)) == 256
    again.files.close()


def test_exactly_the_same_chunks_are_held(kept: Kept) -> None:
    heads = kept.keep("t", tokens(300))
    assert kept.archive.holds("t", heads)
    assert not kept.archive.holds("t", heads[:1])
    assert not kept.archive.holds("u", heads)
