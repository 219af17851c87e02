from __future__ import annotations

import errno
import logging
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest

from livethread_server.worker.chains import Part
from livethread_server.worker.files import Files
from livethread_server.worker.stock import Read, Stock
from livethread_server.worker.tier import Entry, Tier
from tests.kept import ALICE, NAMER, PLENTY, fail, rows_for, tier_in, tokens

FULL = OSError(errno.ENOSPC, "No space left on device")


class Stocked:
    """A stock over real folders, and who it said was written."""

    def __init__(self, folder: Path, ram: int = PLENTY, disk: int = PLENTY) -> None:
        self.files = Files(lambda: None)
        self.ram, self.disk = tier_in(folder, "ram", ram), tier_in(folder, "disk", disk)
        self.told: list[str] = []
        self.stock = Stock([self.ram, self.disk], self.files, self._written)
        self.folder = folder

    def _written(self, holders: Iterable[str]) -> None:
        self.told += holders

    def new(self, thread: str, first: int = 0, count: int = 20) -> Entry:
        """A chunk that a thread holds, not put anywhere."""
        (head,) = NAMER.chain(tokens(count, first), ALICE, 0)
        entry = self.stock.chains.enter(head)
        entry.rows = rows_for([head])[head.name]
        entry.holders.add(thread)
        return entry

    def shelved(self, thread: str, first: int = 0, count: int = 20) -> Entry:
        entry = self.new(thread, first, count)
        self.stock.shelve(entry)
        assert self.files.settle(10)
        return entry

    def copied(self, entry: Entry, tier: Tier) -> bool:
        put = self.stock.put(entry, tier)
        assert self.files.settle(10)
        return put

    def read(self, entry: Entry) -> tuple[Read, list[bytes]]:
        reads: list[Read] = []
        rows: list[bytes] = []
        self.stock.read(Part(entry, 0, entry.head.count), lambda found: rows.append(found.tobytes()), reads.append)
        assert self.files.settle(10)
        return reads[0], rows

    def path(self, entry: Entry, tier: Tier) -> Path:
        return self.folder / tier.name / "chunks" / entry.head.name.hex()


@pytest.fixture
def stocked(tmp_path: Path) -> Iterable[Stocked]:
    stocked = Stocked(tmp_path)
    yield stocked
    stocked.files.close()


def test_new_rows_can_be_had_before_they_are_written_and_after(stocked: Stocked) -> None:
    entry = stocked.new("t", first=7)
    expected = [bytes([7]) * entry.head.size]
    assert stocked.read(entry) == (Read("ram", ()), expected)
    stocked.stock.shelve(entry)
    assert stocked.stock.pending == entry.head.file_size
    assert stocked.files.settle(10)
    assert (stocked.stock.pending, stocked.told, entry.there) == (0, ["t"], {"ram"})
    assert entry.rows is None
    assert stocked.read(entry) == (Read("ram", ()), expected)
    assert stocked.copied(entry, stocked.disk)
    assert entry.there == {"ram", "disk"}


def test_what_does_not_fit_the_first_shelf_goes_to_the_next_or_nowhere(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path, ram=100, disk=20_000)
    assert stocked.shelved("t").there == {"disk"}
    lost = stocked.shelved("u", first=100, count=250)
    assert lost.lost
    assert lost.head.name not in stocked.stock.chains
    stocked.files.close()


def test_a_full_shelf_lets_go_of_the_oldest_but_of_pinned_threads_last(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path, ram=0, disk=9_000)
    stocked.stock.pinned.add("t0")
    entries = [stocked.shelved(f"t{number}", first=100 * number) for number in range(5)]
    assert [bool(entry.there) for entry in entries] == [True, False, False, True, True]
    assert stocked.stock.dropped == 2
    assert {"t1", "t2"} <= stocked.stock.changed
    assert [stocked.path(entry, stocked.disk).exists() for entry in entries] == [True, False, False, True, True]
    stocked.files.close()


def test_what_running_threads_hold_goes_last(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path, ram=0, disk=5_000)
    stocked.stock.running = lambda: ["t0"]
    entries = [stocked.shelved(f"t{number}", first=100 * number) for number in range(3)]
    assert [bool(entry.there) for entry in entries] == [True, False, True]
    stocked.files.close()


def test_what_only_ram_has_does_not_go_for_others(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path, ram=5_000)
    first, second = stocked.shelved("t"), stocked.shelved("u", first=100)
    assert (first.there, second.there) == ({"ram"}, {"ram"})
    assert stocked.shelved("v", first=200).there == {"disk"}
    assert stocked.copied(first, stocked.disk)
    assert stocked.shelved("w", first=300).there == {"ram"}
    assert first.there == {"disk"}
    stocked.files.close()


def test_a_shelf_that_cannot_be_written_rests_with_one_warning_and_is_tried_again(
    stocked: Stocked, caplog: pytest.LogCaptureFixture
) -> None:
    fail(stocked.ram, FULL)
    with caplog.at_level(logging.WARNING):
        entries = [stocked.new(f"t{number}", first=100 * number) for number in range(3)]
        for entry in entries:
            stocked.stock.shelve(entry)
        assert stocked.files.settle(10)
        assert stocked.shelved("t3", first=300).there == {"disk"}
    assert [entry.there for entry in entries] == [{"disk"}] * 3
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text
    assert stocked.ram.used == 0
    fail(stocked.ram, None)
    stocked.ram.rests_until = 0.0
    assert stocked.shelved("t4", first=400).there == {"ram"}


def test_what_no_shelf_takes_is_lost_and_nothing_else(stocked: Stocked) -> None:
    before = stocked.shelved("t")
    for tier in (stocked.ram, stocked.disk):
        fail(tier, FULL)
    lost = stocked.shelved("u", first=100)
    assert lost.lost
    assert stocked.told == ["t", "u", "u"]
    assert stocked.read(before)[0].source == "ram"
    assert not stocked.copied(stocked.shelved("v", first=200), stocked.disk)


def test_a_damaged_file_in_ram_is_read_from_disk(stocked: Stocked) -> None:
    entry = stocked.shelved("t", first=5)
    stocked.copied(entry, stocked.disk)
    path = stocked.path(entry, stocked.ram)
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)
    assert stocked.read(entry) == (Read("disk", ("ram",)), [bytes([5]) * entry.head.size])
    assert entry.there == {"disk"}
    assert not path.exists()


def test_a_chunk_that_nobody_has_whole_is_forgotten(stocked: Stocked) -> None:
    entry = stocked.shelved("t")
    stocked.path(entry, stocked.ram).write_bytes(b"x")
    assert stocked.read(entry) == (Read(None, ("ram",)), [])
    assert entry.lost
    assert entry.head.name not in stocked.stock.chains
    assert "t" in stocked.stock.changed


def test_a_damaged_file_is_not_copied_and_the_other_shelf_does_not_rest(stocked: Stocked) -> None:
    flipped, folder = stocked.shelved("t"), stocked.shelved("u", first=100)
    stocked.path(flipped, stocked.ram).write_bytes(b"x")
    stocked.path(folder, stocked.ram).unlink()
    stocked.path(folder, stocked.ram).mkdir()
    for entry in (flipped, folder):
        stocked.copied(entry, stocked.disk)
        assert entry.lost
    assert stocked.disk.rests_until == 0.0
    assert stocked.disk.used == 0


def test_a_tail_that_nobody_holds_goes_at_once_a_whole_chunk_when_its_turn_comes(stocked: Stocked) -> None:
    tail, whole = stocked.shelved("t"), stocked.shelved("t", first=100, count=256)
    stocked.stock.release("t", [tail.head.name, whole.head.name])
    assert stocked.files.settle(10)
    assert (tail.lost, whole.lost) == (True, False)
    assert not stocked.path(tail, stocked.ram).exists()


def test_what_was_dropped_while_it_was_written_leaves_no_file(stocked: Stocked) -> None:
    entry = stocked.new("t")
    stocked.stock.shelve(entry)
    stocked.stock.drop(entry)
    stocked.stock.drop(entry)
    assert stocked.files.settle(10)
    assert (stocked.ram.used, stocked.stock.pending, stocked.told) == (0, 0, [])
    assert not stocked.path(entry, stocked.ram).exists()


def test_buffers_are_made_ready_and_used_again(stocked: Stocked) -> None:
    stocked.stock.prepare(NAMER.width)
    assert stocked.files.settle(10)
    entry = stocked.shelved("t", count=256)
    for _ in range(3):
        read, rows = stocked.read(entry)
        assert (read.source, rows) == ("ram", [np.zeros(entry.head.size, np.uint8).tobytes()])


def test_a_shelf_whose_folder_was_taken_away_rests_and_is_made_again(stocked: Stocked) -> None:
    before = stocked.shelved("t")
    rmtree(stocked.folder / "ram")
    entry = stocked.shelved("u", first=100)
    assert entry.there == {"disk"}
    assert stocked.ram.rests_until > 0.0
    assert stocked.shelved("v", first=200).there == {"disk"}
    assert stocked.read(before) == (Read(None, ("ram",)), [])
    stocked.ram.rests_until = 0.0
    assert stocked.shelved("w", first=300).there == {"ram"}


def test_a_task_pushes_out_other_tasks_and_no_thread(tmp_path: Path) -> None:
    size = 2 * Stocked(tmp_path / "sized").new("t").head.file_size
    stocked = Stocked(tmp_path, ram=size, disk=0)
    kept, passing = stocked.shelved("t"), stocked.shelved("~1", first=1000)
    stocked.stock.tiers.pop("disk")
    newer = stocked.shelved("~2", first=2000)
    assert (kept.on("ram"), passing.on("ram"), newer.on("ram")) == (True, False, True)
    other = stocked.shelved("u", first=3000)
    assert (newer.on("ram"), other.on("ram")) == (False, True)
    assert stocked.shelved("~3", first=4000).lost
    assert (kept.on("ram"), other.on("ram")) == (True, True)
    assert stocked.shelved("v", first=5000).on("ram")
    assert not kept.on("ram")
