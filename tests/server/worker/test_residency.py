from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livethread_server.engine.wire import Evict, Ingest, Moved, Settled
from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Namer
from livethread_server.worker.files import Files
from livethread_server.worker.residency import BUSY_SETTLE, SETTLE, Residencies
from livethread_server.worker.sequence import Sequence
from tests.cells import SHAPE, Cells
from tests.kept import ALICE, PLENTY, fail, tier_in, tokens

NAMER = Namer(b"f" * 32, SHAPE.width)
IDLE_AFTER = 100.0


class Kept:
    """Residencies over cells and real folders, with a clock that the test moves."""

    def __init__(self, folder: Path, ram: int = PLENTY, tasks: int = 0) -> None:
        self.now = 1000.0
        self.cells = Cells(3 + tasks)
        self.files = Files(lambda: None)
        self.tiers = [tier_in(folder, "ram", ram), tier_in(folder, "disk")]
        self.archive = Archive(self.tiers, self.files, NAMER.fingerprint, passing=2 * tasks)
        self.residencies = Residencies(
            self.cells.context, self.archive, NAMER, SHAPE, idle_after=IDLE_AFTER, clock=lambda: self.now, tasks=tasks
        )

    def live(self, thread: str, count: int = 300, first: int = 0) -> Sequence:
        """A thread whose tokens are counted up, live and idle."""
        data = tuple(range(first, first + count))
        wanted = Ingest(thread=thread, tenant="alice", tokens=data)
        chosen = self.residencies.slots.choose(wanted)
        assert chosen is not None
        slot = self.residencies.slots.take(wanted, chosen)
        self.cells.held[slot.id] = list(data)
        slot.in_kv = count
        self.residencies.slots.release(slot)
        return slot

    def tidy(self, after: float = 0.0, room_ms: float = math.inf) -> None:
        self.now += after
        self.residencies.tidy(room_ms)
        assert self.files.settle(10)

    def where(self, thread: str) -> tuple[str, int]:
        return self.archive.where(thread)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.files.close()


def test_a_sequence_is_saved_a_moment_after_its_use_and_only_once(kept: Kept) -> None:
    slot = kept.live("t")
    assert kept.residencies.patience() == SETTLE
    kept.tidy(SETTLE / 2)
    assert kept.where("t") == ("cold", 0)
    kept.tidy(SETTLE)
    assert kept.where("t") == ("ram", 300)
    assert not slot.dirty
    assert sum(part.count for part in kept.archive.find(tokens(300), ALICE, 300)) == 300
    assert kept.residencies.patience() == pytest.approx(IDLE_AFTER - 1.5 * SETTLE)


def test_beside_runs_it_is_saved_later_and_only_where_it_fits_the_step(kept: Kept) -> None:
    kept.live("t")
    kept.tidy(SETTLE, room_ms=90.0)
    assert kept.where("t") == ("cold", 0)
    kept.tidy(BUSY_SETTLE, room_ms=0.001)
    assert kept.where("t") == ("cold", 0)
    kept.tidy(room_ms=90.0)
    assert kept.where("t") == ("ram", 300)


def test_a_thread_that_was_not_used_is_put_away_unless_it_is_pinned(kept: Kept) -> None:
    kept.residencies.pin("pinned", True)
    kept.live("pinned", first=5000)
    kept.live("t")
    kept.tidy(IDLE_AFTER)
    kept.tidy(IDLE_AFTER)
    kept.tidy(IDLE_AFTER)
    assert kept.residencies.slots.of("t") is None
    assert kept.residencies.slots.of("pinned") is not None
    assert kept.residencies.evictions == 1
    assert kept.residencies.patience() is None
    kept.residencies.pin("pinned", False)
    kept.tidy()
    assert kept.residencies.slots.of("pinned") is None


def test_what_cannot_be_kept_anywhere_stays_live(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    for tier in kept.tiers:
        fail(tier, OSError(errno.EIO, "Input/output error"))
    slot = kept.live("t")
    with caplog.at_level(logging.WARNING):
        kept.tidy(IDLE_AFTER)
        kept.tidy(IDLE_AFTER)
    assert "Input/output error" in caplog.text
    assert kept.where("t")[1] in (0, 256)
    for tier in kept.tiers:
        fail(tier, None)
        tier.rests_until = 0.0
    again = kept.live("t")
    kept.tidy(IDLE_AFTER)
    assert kept.where("t") == ("ram", 300)
    assert slot.id == again.id


def test_nothing_is_saved_while_every_shelf_rests(kept: Kept) -> None:
    for tier in kept.tiers:
        tier.rests_until = math.inf
    kept.live("t")
    kept.tidy(SETTLE)
    assert kept.where("t") == ("cold", 0)
    assert kept.residencies.patience() == 0.1


def test_an_evicted_thread_is_on_disk_when_that_is_answered(kept: Kept) -> None:
    kept.live("t")
    kept.residencies.evict(Evict(5, "t"))
    assert kept.residencies.patience() == 0.0
    kept.tidy()
    assert kept.residencies.settled() == [Settled(5, "t", "disk")]
    assert kept.residencies.settled() == []
    assert kept.where("t") == ("disk", 300)
    assert kept.residencies.slots.of("t") is None
    kept.residencies.evict(Evict(6, "unknown"))
    kept.tidy()
    assert kept.residencies.settled() == [Settled(6, "unknown", "cold")]


def test_a_thread_that_runs_is_not_evicted(kept: Kept) -> None:
    kept.live("t").run = object()  # type: ignore[assignment]
    kept.residencies.evict(Evict(5, "t"))
    kept.tidy()
    assert kept.residencies.settled() == [Settled(5, "t", "live")]


def test_what_moved_is_told_once(kept: Kept) -> None:
    kept.live("t")
    assert kept.residencies.moved()[-1] == Moved("t", "live", 300)
    assert kept.residencies.moved() == ()
    kept.residencies.evict(Evict(5, "t"))
    kept.tidy()
    assert kept.residencies.moved() == (Moved("t", "disk", 300),)
    kept.residencies.forget("t")
    assert kept.residencies.moved() == (Moved("t", "cold", 0),)


def test_stats_say_what_is_where(kept: Kept) -> None:
    kept.live("t")
    kept.live("u", count=10, first=5000)
    kept.residencies.evict(Evict(5, "t"))
    kept.tidy()
    kept.residencies.moved()
    stats = kept.residencies.stats()
    assert stats["threads"] == {"live": 1, "ram": 0, "disk": 1}
    assert (stats["live"]["sequences"], stats["live"]["tokens"], stats["evictions"]) == (1, 10, 1)
    assert stats["tiers"]["disk"]["chunks"] == 2


def test_everything_is_on_disk_when_the_server_has_stopped(kept: Kept, tmp_path: Path) -> None:
    kept.live("t")
    kept.live("u", first=5000)
    kept.residencies.close()
    assert kept.files.settle(10)
    again = Archive([tier_in(tmp_path, "disk")], kept.files, NAMER.fingerprint)
    assert (again.where("t"), again.where("u")) == (("disk", 300), ("disk", 300))


@pytest.mark.parametrize("use", [lambda kept: kept.live("t", 400), lambda kept: kept.live("t", 100, first=7000)])
def test_a_thread_that_went_on_or_was_edited_is_saved_as_it_is_now(kept: Kept, use: Callable[[Kept], Sequence]) -> None:
    kept.live("t")
    kept.tidy(SETTLE)
    slot = use(kept)
    kept.tidy(SETTLE)
    assert kept.where("t") == ("ram", slot.in_kv)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path, tasks=1)
    yield kept
    kept.files.close()


def test_a_displaced_task_is_kept_and_nobody_is_told(beside: Kept) -> None:
    beside.live("~1")
    beside.live("t", first=5000)
    beside.live("~2", first=9000)
    assert beside.files.settle(10)
    assert {moved.thread for moved in beside.residencies.moved()} == {"t"}
    assert (beside.where("~1"), beside.where("~2")) == (("ram", 300), ("cold", 0))
    stats = beside.residencies.stats()
    assert stats["threads"] == {"live": 1, "ram": 0, "disk": 0}
    assert stats["live"] == {"sequences": 1, "running": 0, "tokens": 300, "of": 3, "cells": 3 * beside.cells.length}
    assert stats["tasks"] == {"sequences": 1, "running": 0, "tokens": 300, "of": 1, "kept": 1}


def test_a_tasks_context_that_was_not_used_for_long_is_put_away_uncounted(beside: Kept) -> None:
    beside.live("~1")
    beside.tidy(IDLE_AFTER)
    assert beside.residencies.stats()["tasks"]["sequences"] == 0
    assert beside.residencies.evictions == 0
    assert beside.where("~1") == ("ram", 300)
    assert beside.residencies.moved() == ()


def test_nothing_of_tasks_is_put_on_disk_for_the_next_server(beside: Kept, tmp_path: Path) -> None:
    beside.live("~1")
    beside.live("~2", first=9000)
    beside.residencies.close()
    assert beside.files.settle(10)
    assert list((tmp_path / "disk" / "chunks").iterdir()) == []
