from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.engine.wire import Evict, Ingest, Settled, Warm
from livethread_server.worker.ahead import Ahead
from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Namer
from livethread_server.worker.files import Files
from livethread_server.worker.residency import Residencies
from livethread_server.worker.restore import Restores
from livethread_server.worker.sequence import Sequence
from tests.cells import SHAPE, Cells
from tests.kept import tier_in

NAMER = Namer(b"f" * 32, SHAPE.width)
STEP = 50
"""Tokens that are ingested in a step."""


class Read:
    """Reading ahead over cells; every step puts `STEP` tokens into them."""

    def __init__(self, folder: Path, budget: int = 1000) -> None:
        self.cells = Cells()
        self.files = Files(lambda: None)
        archive = Archive([tier_in(folder, "disk")], self.files, NAMER.fingerprint)
        self.residencies = Residencies(self.cells.context, archive, NAMER, SHAPE, idle_after=100.0)
        self.slots = self.residencies.slots
        restores = Restores(archive, SHAPE, self.cells.streams)
        self.ahead = Ahead(self.residencies, restores, budget=budget, may_give_up=lambda slot: not slot.dirty)
        self.works = True

    def ingest(self, slot: Sequence, tokens: tuple[int, ...]) -> bool:
        some = tokens[:STEP]
        if self.works:
            slot.tokens += some
            slot.in_kv += len(some)
            self.cells.held[slot.id] += some
        return self.works

    def step(self, times: int = 1, *, eager: bool = True) -> None:
        for _ in range(times):
            self.ahead.advance(self.ingest, eager=eager)
            assert self.files.settle(10)

    def through(self) -> None:
        for _ in range(100):
            if not self.ahead.ready:
                return
            self.step()
        raise AssertionError("It is not through after 100 steps.")

    def live(self) -> dict[str | None, int]:
        return {slot.thread: slot.in_kv for slot in self.slots if slot.thread is not None}


def ingest(thread: str, count: int, first: int = 0) -> Ingest:
    return Ingest(thread=thread, tenant="alice", tokens=tuple(range(first, first + count)))


def warm(ask: int, thread: str, count: int, first: int = 0) -> Warm:
    return Warm(ask=ask, thread=thread, tenant="alice", tokens=tuple(range(first, first + count)))


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    read = Read(tmp_path)
    yield read
    read.files.close()


def test_what_is_wanted_is_ingested_a_step_at_a_time(read: Read) -> None:
    read.ahead.want(ingest("t", 120))
    read.step(2)
    assert read.live() == {"t": 2 * STEP}
    assert read.ahead.ready
    read.through()
    assert read.live() == {"t": 120}


def test_beside_runs_only_what_is_to_be_warm_goes_on(read: Read) -> None:
    read.ahead.want(ingest("t", 120))
    read.step(3, eager=False)
    assert read.live() == {}
    read.ahead.want(warm(1, "u", 120, first=5000))
    read.step(3, eager=False)
    assert read.live() == {"u": 120}
    assert read.residencies.settled() == [Settled(1, "u", "live")]


def test_of_several_wishes_the_newest_comes_first_and_replaces_its_threads_older_one(read: Read) -> None:
    read.ahead.want(ingest("t", 200))
    read.ahead.want(ingest("u", 80, first=5000))
    read.ahead.want(ingest("t", 80))
    read.step(2)
    assert read.live() == {"t": 80}
    read.through()
    assert read.live() == {"t": 80, "u": 80}


def test_a_warm_that_is_replaced_is_answered(read: Read) -> None:
    read.ahead.want(warm(1, "t", 200))
    read.ahead.want(warm(2, "t", 80))
    assert read.residencies.settled() == [Settled(1, "t", "cold")]
    read.through()
    assert read.residencies.settled() == [Settled(2, "t", "live")]


def test_no_more_than_the_budget_is_ingested(tmp_path: Path) -> None:
    read = Read(tmp_path, budget=130)
    read.ahead.want(ingest("t", 120))
    read.through()
    read.ahead.want(ingest("u", 120, first=5000))
    read.through()
    assert sum(read.live().values()) <= 130
    read.files.close()
    nothing = Read(tmp_path, budget=0)
    nothing.ahead.want(ingest("t", 120))
    assert not nothing.ahead.ready
    nothing.files.close()


def test_a_sequence_is_left_for_runs_and_nobody_unsaved_is_given_up(read: Read) -> None:
    for number in range(3):
        read.ahead.want(ingest(f"t{number}", 60, first=1000 * number))
        read.through()
    assert len(read.live()) == 3
    read.ahead.want(ingest("new", 60, first=9000))
    read.through()
    assert "new" not in read.live()


def test_a_thread_comes_back_from_disk_before_the_rest_is_ingested(read: Read) -> None:
    read.ahead.want(ingest("t", 300))
    read.through()
    read.residencies.evict(Evict(1, "t"))
    read.residencies.tidy(0.0)
    assert read.files.settle(10)
    assert read.live() == {}
    read.ahead.want(ingest("t", 340))
    read.step(1)
    assert read.live() == {}
    read.step(1)
    assert read.live() == {"t": 340}


def test_a_state_that_is_not_taken_ends_the_wish(read: Read) -> None:
    read.ahead.want(ingest("t", 300))
    read.through()
    read.residencies.evict(Evict(1, "t"))
    read.residencies.tidy(0.0)
    assert read.files.settle(10)
    read.cells.refuses = 1
    read.ahead.want(warm(2, "t", 300))
    read.through()
    assert read.residencies.settled()[-1] == Settled(2, "t", "disk")


def test_a_fetch_is_handed_to_whoever_takes_over(read: Read) -> None:
    read.ahead.want(ingest("t", 300))
    read.through()
    read.residencies.evict(Evict(1, "t"))
    read.residencies.tidy(0.0)
    assert read.files.settle(10)
    read.ahead.want(ingest("t", 340))
    read.step(1)
    fetch = read.ahead.hand_over("t")
    assert fetch is not None
    assert fetch.count == 300
    assert not read.ahead.ready
    assert read.ahead.hand_over("t") is None


def test_what_cannot_be_decoded_ends_the_wish(read: Read) -> None:
    read.ahead.want(warm(1, "t", 120))
    read.step()
    assert read.live() == {"t": STEP}
    read.works = False
    read.through()
    assert read.residencies.settled() == [Settled(1, "t", "cold")]
    assert read.live() == {}
    assert sum(slot.eager for slot in read.slots) == 0
    assert read.residencies.moved()[-1].residency == "cold"


def test_a_thread_that_runs_is_left_alone(read: Read) -> None:
    read.ahead.want(ingest("t", 60))
    read.through()
    slot = read.slots.of("t")
    assert slot is not None
    slot.run = object()  # type: ignore[assignment]
    read.ahead.want(ingest("t", 120))
    read.through()
    assert read.live() == {"t": 60}
