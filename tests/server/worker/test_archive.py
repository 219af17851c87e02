from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Bytes, Head, Namer, scope_of
from livethread_server.worker.files import Files
from livethread_server.worker.shelf import Shelf, key_in
from livethread_server.worker.tier import Tier, TierName

NAMER = Namer(b"f" * 32, 100)
PLENTY = 1 << 30
ALICE = scope_of("alice")


class Kept:
    """An archive over real folders, with rows that tell whose they are."""

    def __init__(self, folder: Path, **budgets: int) -> None:
        self.files = Files(lambda: None)
        self.folder = folder
        tiers: list[Tier] = []
        names: tuple[TierName, ...] = ("ram", "disk")
        for name in names:
            if budgets.get(name, PLENTY):
                key = key_in(folder / name) if name == "disk" else None
                shelf = Shelf(folder / name, key=key, durable=name == "disk")
                tiers.append(Tier(name, shelf, budgets.get(name, PLENTY)))
        self.archive = Archive(tiers, self.files, NAMER.fingerprint)

    def settle(self) -> None:
        assert self.files.settle(10)
        self.archive.balance()
        assert self.files.settle(10)

    def keep(self, thread: str, tokens: bytes, scope: bytes = ALICE, shared: int = 0) -> list[Head]:
        heads = NAMER.chain(tokens, scope, shared)
        rows: dict[bytes, Bytes] = {
            head.name: np.full(head.size, head.tokens[0], np.uint8) for head in self.archive.missing(heads)
        }
        self.archive.keep(thread, heads, rows)
        self.settle()
        return heads

    def sink(self, thread: str) -> None:
        done: list[bool] = []
        self.archive.sink(thread, lambda: done.append(True))
        self.settle()
        assert done == [True]

    def found(self, tokens: bytes, scope: bytes = ALICE) -> int:
        return sum(part.count for part in self.archive.find(tokens, scope, len(tokens) // 4))

    def files_in(self, tier: str) -> int:
        return len(list((self.folder / tier / "chunks").iterdir()))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.files.close()


def tokens(count: int, first: int = 0) -> bytes:
    return np.arange(first, first + count, dtype="<i4").tobytes()


def test_a_context_is_found_as_far_as_it_is_equal(kept: Kept) -> None:
    kept.keep("t", tokens(600))
    assert kept.found(tokens(600)) == 600
    assert kept.found(tokens(700)) == 600
    assert kept.found(tokens(300) + tokens(300, first=9000)) == 300
    assert kept.found(tokens(600), scope_of("bob")) == 0
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
        kept.settle()
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
