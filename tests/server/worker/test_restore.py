from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Namer
from livethread_server.worker.files import Files
from livethread_server.worker.residency import packed
from livethread_server.worker.restore import SPARE, Fetch, Restores
from livethread_server.worker.rows import parse, rows_of
from livethread_server.worker.tier import TierName
from tests.cells import SHAPE, Cells
from tests.kept import ALICE, BOB, tier_in, tokens

NAMER = Namer(b"f" * 32, SHAPE.width)


class Restored:
    """Restores over an archive that has a thread of 600 tokens."""

    def __init__(self, folder: Path, name: TierName) -> None:
        self.files = Files(lambda: None)
        self.folder = folder / name / "chunks"
        self.archive = Archive([tier_in(folder, name)], self.files, NAMER.fingerprint)
        self.cells = Cells()
        self.restores = Restores(self.archive, SHAPE, self.cells.streams)
        self.cells.held[0] = list(range(600))
        state = self.cells.export(0)
        heads = NAMER.chain(tokens(600), ALICE, 0)
        starts = [sum(head.count for head in heads[:number]) for number in range(len(heads))]
        rows = {
            head.name: rows_of(state, parse(state), start, start + head.count)
            for start, head in zip(starts, heads, strict=True)
        }
        self.archive.keep("t", heads, rows)
        assert self.files.settle(10)

    def fetch(self, data: bytes, limit: int | None = None, worth: int = 1) -> Fetch | None:
        fetch = self.restores.begin(data, ALICE, len(data) // 4 if limit is None else limit, worth)
        assert self.files.settle(10)
        return fetch


@pytest.fixture(params=["ram", "disk"])
def restored(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Restored]:
    restored = Restored(tmp_path, request.param)
    yield restored
    restored.files.close()


def test_the_longest_chain_comes_back_as_one_state(restored: Restored) -> None:
    fetch = restored.fetch(tokens(590) + tokens(9, first=7000))
    assert fetch is not None
    assert fetch.done
    assert not fetch.failed
    assert fetch.state is not None
    assert fetch.count == fetch.ram + fetch.disk == 590
    restored.cells.restore(2, fetch.state)
    assert restored.cells.held[2] == list(range(590))


def test_what_is_not_worth_it_is_not_read(restored: Restored) -> None:
    assert restored.fetch(tokens(600), worth=601) is None
    assert restored.fetch(tokens(600), limit=100, worth=101) is None
    assert restored.fetch(tokens(600, first=1)) is None
    assert restored.restores.begin(tokens(600), BOB, 600, 1) is None


def test_a_chunk_that_is_not_whole_fails_the_fetch_and_is_not_looked_for_again(restored: Restored) -> None:
    second = restored.folder / NAMER.chain(tokens(600), ALICE, 0)[1].name.hex()
    data = bytearray(second.read_bytes())
    data[-100] ^= 1
    second.write_bytes(data)
    fetch = restored.fetch(tokens(600))
    assert fetch is not None
    assert fetch.done
    assert fetch.failed
    restored.restores.give_back(fetch)
    again = restored.fetch(tokens(600))
    assert again is not None
    assert (again.count, again.failed) == (256, False)


def test_a_fetch_serves_whoever_begins_with_its_tokens() -> None:
    fetch = Fetch(tokens(100), ALICE, 80)
    assert fetch.serves(tokens(80) + tokens(5, first=900), ALICE, 85)
    assert not fetch.serves(tokens(80), ALICE, 79)
    assert not fetch.serves(tokens(80), BOB, 80)
    assert not fetch.serves(tokens(79), ALICE, 80)
    fetch.failed = True
    assert not fetch.serves(tokens(80), ALICE, 80)


def test_memory_that_was_used_is_used_again(restored: Restored) -> None:
    first = restored.fetch(tokens(600))
    assert first is not None
    assert first.state is not None
    memory = first.state.base
    restored.restores.give_back(first)
    second = restored.fetch(tokens(300))
    assert second is not None
    assert second.state is not None
    assert second.state.base is memory
    assert len(second.state) < len(first.tokens) * 100
    restored.restores.give_back(second)
    for _ in range(SPARE + 2):
        restored.restores.keep(np.empty(10_000_000, np.uint8))
    third = restored.fetch(tokens(600))
    assert third is not None
    assert third.state is not None
    assert third.state.base is memory


def test_tokens_are_packed_as_the_chunks_hold_them() -> None:
    assert packed(range(5)) == tokens(5)


def test_memory_of_what_nobody_wants_any_more_is_used_again_once_it_was_read(restored: Restored) -> None:
    unwanted = restored.restores.begin(tokens(600), ALICE, 600, 1)
    assert unwanted is not None
    assert unwanted.state is not None
    memory = unwanted.state.base
    restored.restores.give_back(unwanted)
    meanwhile = restored.fetch(tokens(300))
    assert meanwhile is not None
    assert meanwhile.state is not None
    assert meanwhile.state.base is not memory
    assert unwanted.state is None
    after = restored.fetch(tokens(300))
    assert after is not None
    assert after.state is not None
    assert after.state.base is memory
