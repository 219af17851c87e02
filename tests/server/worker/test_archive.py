from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.kept import ALICE, BOB, NAMER, Kept, tokens


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.files.close()


def test_a_context_is_found_as_far_as_it_is_equal(kept: Kept) -> None:
    kept.keep("t", tokens(600))
    assert kept.found(tokens(600)) == 600
    assert kept.found(tokens(700)) == 600
    assert kept.found(tokens(300) + tokens(300, first=9000)) == 300
    assert kept.found(tokens(600), BOB) == 0
    assert kept.archive.where("t") == ("ram", 600)


def test_equal_beginnings_are_kept_once(kept: Kept) -> None:
    for number in range(5):
        kept.keep(f"t{number}", tokens(512) + tokens(50, first=1000 * number + 1000))
    assert kept.files_in("ram") == 2 + 5
    assert kept.archive.stats()["saved_bytes"] > 4 * 2 * 256 * 100
    kept.archive.forget("t0")
    kept.settle()
    assert kept.files_in("ram") == 2 + 4
    for number in range(1, 5):
        kept.archive.forget(f"t{number}")
    kept.settle()
    assert kept.files_in("ram") == 0


def test_a_longer_context_replaces_the_tail(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    kept.keep("t", tokens(400))
    assert kept.files_in("ram") == 2
    assert kept.archive.where("t") == ("ram", 400)


def test_the_tail_on_disk_stays_until_the_longer_context_is_there(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    kept.sink("t")
    kept.keep("t", tokens(400))
    assert kept.files_in("disk") == 2
    assert Kept(kept.folder, ram=0).archive.where("t") == ("disk", 300)
    kept.sink("t")
    assert kept.files_in("disk") == 2
    assert Kept(kept.folder, ram=0).archive.where("t") == ("disk", 400)


def test_what_leaves_ram_is_on_disk(kept: Kept) -> None:
    kept.keep("t", tokens(300))
    kept.sink("t")
    assert kept.archive.where("t") == ("ram", 300)
    kept.archive.leave_ram("t")
    assert kept.archive.where("t") == ("disk", 300)
    assert kept.archive.changed() == {"t"}


def test_a_full_ram_sends_what_was_used_longest_ago_to_disk_ahead_of_need(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=100_000)
    for number in range(20):
        kept.keep(f"t{number}", tokens(100, first=1000 * number))
    assert kept.archive.stats()["tiers"]["ram"]["bytes"] <= 100_000
    places = [kept.archive.where(f"t{number}")[0] for number in range(20)]
    assert places == sorted(places)
    assert set(places) == {"disk", "ram"}
    kept.files.close()


def test_a_full_disk_lets_the_oldest_go_but_pinned_ones_last(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=0, disk=50_000)
    kept.archive.pinned.add("t0")
    for number in range(8):
        kept.keep(f"t{number}", tokens(100, first=1000 * number))
    places = [kept.archive.where(f"t{number}")[0] for number in range(8)]
    assert places == ["disk", "cold", "cold", "cold", "cold", "disk", "disk", "disk"]
    kept.files.close()


def test_what_is_larger_than_everything_is_not_kept(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=1000, disk=1000)
    kept.keep("t", tokens(100))
    assert kept.archive.where("t") == ("cold", 0)
    kept.files.close()


def test_a_beginning_outlives_what_follows_it(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=0, disk=100_000)
    kept.keep("t", tokens(700))
    kept.keep("u", tokens(300, first=5000))
    assert kept.archive.where("t") == ("disk", 512)
    kept.files.close()


def test_a_whole_state_serves_only_what_begins_with_all_of_it(kept: Kept) -> None:
    head = NAMER.whole(tokens(50), ALICE, 777)
    kept.archive.keep("t", [head], {head.name: np.zeros(777, np.uint8)})
    kept.settle()
    assert kept.found(tokens(60)) == 50
    assert kept.found(tokens(49)) == 0
    assert kept.archive.find(tokens(50), ALICE, 48) == []
    assert kept.archive.where("t") == ("ram", 50)


def test_nothing_can_be_kept_without_a_shelf(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=0, disk=0)
    assert kept.archive.empty
    kept.keep("t", tokens(100))
    assert kept.archive.where("t") == ("cold", 0)
    kept.files.close()


def test_what_came_from_disk_returns_to_ram_while_nobody_runs_one_chunk_at_a_time(kept: Kept) -> None:
    kept.keep("t", tokens(600))
    kept.sink("t")
    kept.archive.leave_ram("t")
    heads = NAMER.chain(tokens(600), ALICE, 0)
    kept.archive.keep("t", heads, {})
    kept.settle(idle=False)
    assert kept.files_in("ram") == 0
    kept.archive.balance(idle=True)
    assert kept.files.settle(10)
    assert kept.files_in("ram") == 1
    kept.settle()
    assert kept.files_in("ram") == 3
    assert kept.archive.where("t") == ("ram", 600)


def test_a_thread_that_was_sent_to_disk_or_forgotten_does_not_return(kept: Kept) -> None:
    for thread, first in (("t", 0), ("u", 5000)):
        heads = kept.keep(thread, tokens(300, first))
        kept.sink(thread)
        kept.archive.leave_ram(thread)
        kept.archive.keep(thread, heads, {})
    kept.archive.leave_ram("t")
    kept.archive.forget("u")
    kept.settle()
    assert kept.files_in("ram") == 0


def test_a_context_larger_than_ram_does_not_go_round_and_round(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=60_000)
    heads = kept.keep("t", tokens(1000))
    kept.sink("t")
    kept.archive.leave_ram("t")
    kept.archive.keep("t", heads, {})
    kept.settle()
    assert kept.archive.where("t") == ("disk", 1000)
    kept.files.close()


def test_a_beginning_outlives_what_follows_it_over_a_restart_too(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ram=0)
    for number, thread in enumerate(("old", "new")):
        heads = kept.keep(thread, tokens(600, first=5000 * number))
        for at, head in enumerate(heads):  # as reading and writing leaves them: the beginning was used first
            os.utime(tmp_path / "disk" / "chunks" / head.name.hex(), (1000 * number + at, 1000 * number + at))
    kept.settle()
    again = Kept(tmp_path, ram=0, disk=100_000)
    assert again.archive.where("old") == ("disk", 256)
    assert again.archive.where("new") == ("disk", 600)
    last = Kept(tmp_path, ram=0, disk=60_000)
    assert last.archive.where("new") == ("disk", 512)
    for each in (kept, again, last):
        each.files.close()
