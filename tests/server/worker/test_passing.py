from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.worker.archive import Archive
from tests.kept import ALICE, BOB, NAMER, Kept, rows_for, tokens


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.archive = Archive(kept.tiers.values(), kept.files, NAMER.fingerprint, passing=3)
    yield kept
    kept.files.close()


def test_the_oldest_contexts_of_tasks_are_forgotten_and_none_of_threads(kept: Kept) -> None:
    for number in range(3):
        kept.keep(f"t{number}", tokens(20, first=1000 * number))
    for number in range(5):
        kept.keep(f"~{number}", tokens(20, first=10_000 + 1000 * number))
    assert kept.archive.passing == 3
    assert set(kept.archive.threads) == {"t0", "t1", "t2", "~2", "~3", "~4"}
    assert kept.files_in("ram") == 6
    assert (kept.found(tokens(20, first=11_000)), kept.found(tokens(20, first=12_000))) == (0, 20)


@pytest.mark.parametrize("count", [20, 256, 300])
def test_a_context_that_went_on_as_another_task_is_kept_once(kept: Kept, count: int) -> None:
    kept.keep("~1", tokens(count))
    kept.keep("~2", tokens(count + 30))
    assert set(kept.archive.threads) == {"~2"}
    assert kept.found(tokens(count + 30)) == count + 30


def test_contexts_that_differ_or_are_somebody_elses_stay(kept: Kept) -> None:
    kept.keep("~1", tokens(300))
    kept.keep("~2", tokens(290) + tokens(30, first=5000))
    kept.keep("~3", tokens(400), BOB)
    assert set(kept.archive.threads) == {"~1", "~2", "~3"}
    assert kept.found(tokens(300)) == 300


def test_whole_states_are_no_beginnings_of_each_other(kept: Kept) -> None:
    for task, count in (("~1", 10), ("~2", 20)):
        head = NAMER.whole(tokens(count), ALICE, 100)
        kept.archive.keep(task, [head], rows_for([head]))
        kept.settle()
    assert kept.archive.passing == 2


def test_a_task_that_is_cold_is_counted_no_more(kept: Kept) -> None:
    kept.keep("~1", tokens(20))
    kept.archive.forget("~1")
    kept.settle()
    assert (kept.archive.passing, kept.files_in("ram")) == (0, 0)


def test_a_task_goes_to_disk_without_a_note(kept: Kept) -> None:
    kept.keep("~1", tokens(20))
    kept.sink("~1")
    assert kept.files_in("disk") == 1
    assert list(kept.tiers["disk"].shelf.notes()) == []
    assert list(kept.tiers["ram"].shelf.notes()) == []
