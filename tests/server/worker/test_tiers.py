"""The tiers of a real model's engine: what was put away comes back as it was, or not at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livethread_server.engine.wire import (
    Configure,
    Evict,
    Forget,
    Ingest,
    Moved,
    Pin,
    Settled,
    Warm,
)
from livethread_server.worker import canary
from livethread_server.worker.chunk import TAG_SIZE, head_size, tag
from livethread_server.worker.files import READERS
from livethread_server.worker.llama import Context, Model, loaded, quiet
from livethread_server.worker.scheduler import Costs
from tests.driven import Driven, reused, sources, tokens_of, words

LENGTH, SEQUENCES = 1024, 3
PLENTY = 1 << 30
PROMPT = words(1, 300) + words(2, 9)

Start = Callable[..., Driven]


@pytest.fixture(scope="module")
def shared(model_path: Path) -> Iterator[tuple[Context, Costs]]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=SEQUENCES, threads=2)) as context:
        yield context, canary.prove(context)


def engine(shared: tuple[Context, Costs], folder: Path, **fields: Any) -> Driven:
    """One that holds nothing, over the tiers in a folder."""
    for sequence in range(SEQUENCES):
        shared[0].drop(sequence)
    settled: dict[str, Any] = {
        "cache_dir": str(folder / "disk"),
        "ram_dir": str(folder / "ram"),
        "disk_bytes": PLENTY,
        "ram_bytes": PLENTY,
        "idle_after": 300.0,
        "ingest_tokens": 1000,
    }
    configure = Configure(
        model_path=__file__, context=LENGTH, sequences=SEQUENCES, model_digest="d", **(settled | fields)
    )
    return Driven(*shared, configure)


@pytest.fixture
def start(shared: tuple[Context, Costs], tmp_path: Path) -> Iterator[Start]:
    """Start an engine over the folders of this test; the one before is as good as killed."""
    started: list[Driven] = []

    def start(**fields: Any) -> Driven:
        for each in started:
            each.tiers.files.settle(5)
        started.append(engine(shared, tmp_path, **fields))
        return started[-1]

    yield start
    for each in started:
        each.tiers.files.settle(5)
        each.tiers.files.close()


@pytest.fixture(scope="module")
def written(shared: tuple[Context, Costs], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, ...]]:
    """The disk tier once a thread has left 300 tokens there, and what is answered to these and nine more."""
    folder = tmp_path_factory.mktemp("written")
    driven = engine(shared, folder, ram_dir="")
    clean = tokens_of(driven.ask("r1", PROMPT, "clean", tenant="z", max_tokens=6))
    driven.ask("r2", PROMPT[:300], "t", max_tokens=1)
    assert evicted(driven, "t") == "disk"
    driven.tiers.files.settle(5)
    driven.tiers.files.close()
    return folder / "disk", clean


def evicted(driven: Driven, thread: str) -> str:
    ask = len(driven.answers)
    driven.step(Evict(ask, thread))
    return settled(driven, ask)


def settled(driven: Driven, ask: int) -> str:
    answer = driven.answer(ask)
    assert isinstance(answer, Settled)
    return answer.residency


def test_an_evicted_thread_comes_back_from_disk_and_says_the_same(start: Start) -> None:
    driven = start()
    first = driven.ask("r1", words(1, 300), "t", max_tokens=4)
    clean = driven.ask("r2", words(1, 300) + tokens_of(first) + words(2, 9), "t", max_tokens=6)
    driven.step(Forget("t"))
    assert tokens_of(driven.ask("r3", words(1, 300), "t", max_tokens=4)) == tokens_of(first)
    assert evicted(driven, "t") == "disk"
    assert driven.moved[-1] == Moved("t", "disk", 303)
    again = driven.ask("r4", words(1, 300) + tokens_of(first) + words(2, 9), "t", max_tokens=6)
    assert sources(again) == (0, 0, 303)
    assert tokens_of(again) == tokens_of(clean)


def test_the_rows_that_come_back_are_the_rows_that_went(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 600), "t", max_tokens=1)
    slot = driven.loop._slots.of("t")
    assert slot is not None
    before = driven.context.export(slot.id).copy()
    evicted(driven, "t")
    driven.step(Warm(ask=77, thread="t", tenant="x", tokens=words(1, 600)))
    assert settled(driven, 77) == "live"
    slot = driven.loop._slots.of("t")
    assert slot is not None
    after = driven.context.export(slot.id)
    assert len(before) == len(after)
    streams = 12 + 4 * SEQUENCES + 12 * 600  # sequence ids may differ
    assert (before[streams : -4 * SEQUENCES] == after[streams : -4 * SEQUENCES]).all()


def test_an_engine_that_starts_again_finds_everything_on_disk(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 300), "t", max_tokens=1)
    evicted(driven, "t")
    driven = start(ram_dir="")
    driven.step()
    assert driven.moved == [Moved("t", "disk", 300)]
    assert sources(driven.ask("r2", words(1, 300) + words(2, 5), "t")) == (0, 0, 300)


def test_a_thread_that_had_to_go_is_in_ram_and_survives_the_process(start: Start) -> None:
    driven = start()
    for number in range(SEQUENCES + 1):
        driven.ask(f"r{number}", words(number, 40), f"t{number}", tenant=f"x{number}", max_tokens=1)
    assert Moved("t0", "ram", 40) in driven.moved
    driven.tiers.files.settle(5)
    driven = start()
    driven.step()
    assert Moved("t0", "ram", 40) in driven.moved
    again = driven.ask("again", words(0, 40) + words(9, 4), "t0", tenant="x0")
    assert sources(again) == (0, 40, 0)


def test_another_tenant_gets_nothing_unless_it_was_declared_shared(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 300), "t", max_tokens=1, shared=100)
    evicted(driven, "t")
    assert sources(driven.ask("r2", (*words(1, 300), 7, 8), "u", tenant="y", shared=100)) == (0, 0, 100)
    assert sources(driven.ask("r3", (*words(1, 300), 7, 8), "v", tenant="x", shared=100))[2] == 300


def test_a_second_eviction_writes_only_what_is_new(start: Start, tmp_path: Path) -> None:
    driven = start(ram_dir="")
    driven.ask("r1", words(1, 520), "t", max_tokens=1)
    evicted(driven, "t")
    files = {path.name for path in (tmp_path / "disk" / "chunks").iterdir()}
    assert len(files) == 3
    driven.ask("r2", words(1, 520) + words(2, 20), "t", max_tokens=1)
    evicted(driven, "t")
    driven.tiers.files.settle(5)
    after = {path.name for path in (tmp_path / "disk" / "chunks").iterdir()}
    assert len(after) == 3
    assert len(after - files) == 1


def test_a_forgotten_thread_leaves_no_file(start: Start, tmp_path: Path) -> None:
    driven = start()
    driven.ask("r1", words(1, 300), "t", max_tokens=1)
    evicted(driven, "t")
    driven.step(Forget("t"))
    driven.tiers.files.settle(5)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"]
    assert driven.moved[-1] == Moved("t", "cold", 0)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def swap(path: Path) -> None:
    other = next(each for each in path.parent.iterdir() if each != path)
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def forge(path: Path) -> None:
    """Other rows with a tag that somebody else's key made."""
    data = bytearray(path.read_bytes())
    head = bytes(data[: head_size(bytes(data))])
    data[-100] ^= 1
    data[-TAG_SIZE:] = tag(b"k" * 32, head, np.frombuffer(data[len(head) : -TAG_SIZE], np.uint8))
    path.write_bytes(data)


def link(path: Path) -> None:
    """A link to what was there, harmed."""
    flip(path)
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def lock(path: Path) -> None:
    """Something that cannot be read as a file."""
    path.unlink()
    path.mkdir()


HARMED = [(harm, False) for harm in (flip, swap, forge, link, lock, Path.unlink)] + [(forge, True)]
"""Before and after the engine has found them; what else can happen to a file is tried in `test_shelf`."""


@pytest.mark.parametrize(("harm", "restarted"), HARMED)
def test_a_harmed_file_is_a_miss_and_the_text_is_the_same(
    start: Start,
    written: tuple[Path, tuple[int, ...]],
    tmp_path: Path,
    harm: Callable[[Path], None],
    restarted: bool,
) -> None:
    folder, clean = written
    shutil.copytree(folder, tmp_path / "disk")
    driven = start()
    driven.until(lambda: Moved("t", "disk", 300) in driven.moved)
    for path in sorted((tmp_path / "disk" / "chunks").iterdir()):
        if path.exists():
            harm(path)
            if harm is swap:
                break
    if restarted:
        driven = start(ram_dir="")
    again = driven.ask("r3", PROMPT, "t", max_tokens=6)
    assert tokens_of(again) == clean
    assert sources(again) == (0, 0, 0)


@pytest.mark.parametrize("harm", [flip, swap, forge])
def test_a_harmed_file_in_ram_is_a_miss_and_the_text_is_the_same(
    start: Start, written: tuple[Path, tuple[int, ...]], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    driven = start(cache_dir="", idle_after=0.0)
    driven.ask("r2", PROMPT[:300], "t", max_tokens=1)
    driven.until(lambda: Moved("t", "ram", 300) in driven.moved)
    driven.tiers.files.settle(5)
    for path in sorted((tmp_path / "ram" / "chunks").iterdir()):
        harm(path)
        if harm is swap:
            break
    again = driven.ask("r3", PROMPT, "t", max_tokens=6)
    assert tokens_of(again) == written[1]
    assert sources(again) == (0, 0, 0)
    assert driven.stats()["tiers"]["ram"]["bad_files"] > 0


@pytest.mark.parametrize("harm", [swap, truncate])
def test_a_harmed_note_costs_the_tail_and_nothing_else(
    start: Start, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    driven = start(ram_dir="")
    prompt = words(1, 300) + words(2, 9)
    clean = driven.ask("r1", prompt, "clean", tenant="z", max_tokens=6)
    driven.ask("r2", words(1, 300), "t", max_tokens=1)
    for thread in ("clean", "t"):
        assert evicted(driven, thread) == "disk"
    for path in sorted((tmp_path / "disk" / "threads").iterdir()):
        harm(path)
        if harm is swap:
            break
    driven = start(ram_dir="")
    again = driven.ask("r3", prompt, "t", max_tokens=6)
    assert driven.moved[0].residency == "live"
    assert tokens_of(again) == tokens_of(clean)
    assert sources(again) == (0, 0, 256)


def test_a_full_disk_lets_go_of_what_was_used_longest_ago(start: Start) -> None:
    driven = start(ram_dir="", disk_bytes=3_000_000)
    for number in range(4):
        driven.ask(f"r{number}", words(number, 40), f"t{number}", tenant=f"x{number}", max_tokens=1)
        assert evicted(driven, f"t{number}") == "disk"
    stats = driven.stats()
    assert stats["tiers"]["disk"]["bytes"] <= 3_000_000
    assert stats["tiers"]["disk"]["chunks"] == 3
    assert driven.moved.count(Moved("t0", "cold", 0)) == 1
    assert sources(driven.ask("again", (*words(1, 40), 5, 6), "t1", tenant="x1")) == (0, 0, 40)


def test_what_ram_has_no_room_for_goes_to_disk(start: Start) -> None:
    driven = start(ram_bytes=3_000_000)
    for number in range(8):
        driven.ask(f"r{number}", words(number, 40), f"t{number}", tenant=f"x{number}", max_tokens=1)
        driven.tiers.files.settle(5)
        driven.step()
    stats = driven.stats()
    assert stats["tiers"]["ram"]["bytes"] <= 3_000_000
    assert stats["threads"]["live"] == SEQUENCES
    assert stats["threads"]["ram"] + stats["threads"]["disk"] == 5
    assert sources(driven.ask("again", (*words(0, 40), 5, 6), "t0", tenant="x0"))[0] == 0


def test_a_disk_that_cannot_be_written_to_loses_kv_but_no_run(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driven = start(ram_dir="")
    chunks = tmp_path / "disk" / "chunks"
    chunks.rmdir()
    chunks.write_bytes(b"no folder")
    driven.ask("r1", words(1, 40), "t", max_tokens=1)
    assert evicted(driven, "t") == "cold"
    assert "cannot be written" in caplog.text
    assert sources(driven.ask("r2", (*words(1, 40), 5, 6), "t")) == (0, 0, 0)


def test_a_cache_folder_that_cannot_be_used_is_done_without(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    driven = start(ram_dir="", cache_dir=str(tmp_path / "file"))
    assert len(tokens_of(driven.ask("r1", words(1, 40), max_tokens=2))) == 2


def test_what_was_ingested_ahead_is_live_for_the_run(start: Start) -> None:
    driven = start()
    driven.step(Ingest(thread="t", tenant="x", tokens=words(1, 200)))
    driven.until(lambda: Moved("t", "live", 200) in driven.moved)
    output = driven.ask("r", (*words(1, 200), 7, 8, 9), "t")
    assert sources(output) == (200, 0, 0)


def test_ingestion_gives_way_to_runs_and_keeps_what_it_has(start: Start) -> None:
    driven = start()
    driven.step(Ingest(thread="t", tenant="x", tokens=words(1, 800)))
    driven.step()
    driven.ask("other", words(2, 30), max_tokens=3)
    slot = driven.loop._slots.of("t")
    assert slot is not None
    assert 0 < slot.in_kv < 800
    before = slot.in_kv
    output = driven.ask("r", words(1, 800), "t", max_tokens=1)
    assert reused(output) >= before


def test_ingestion_keeps_its_budget_and_leaves_a_sequence_for_runs(start: Start) -> None:
    driven = start(ingest_tokens=100)
    for number in range(SEQUENCES + 1):
        driven.step(Ingest(thread=f"t{number}", tenant="x", tokens=words(number, 80)))
        driven.until(lambda: not driven.tiers.ahead.ready)
    assert sum(slot.in_kv for slot in driven.loop._slots) <= 100


def test_ingestion_brings_a_thread_back_from_disk(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 300), "t", max_tokens=1)
    evicted(driven, "t")
    driven.step(Ingest(thread="t", tenant="x", tokens=words(1, 300) + words(2, 40)))
    driven.until(lambda: Moved("t", "live", 340) in driven.moved)


def test_a_thread_is_put_away_when_it_was_not_used_for_a_while(start: Start) -> None:
    driven = start(idle_after=0.0)
    driven.ask("r1", words(1, 40), "t", max_tokens=1)
    driven.until(lambda: Moved("t", "ram", 40) in driven.moved)
    driven.tiers.files.settle(5)
    driven = start(ram_dir="")
    driven.step()
    assert driven.moved == [Moved("t", "disk", 40)]


def test_a_pinned_thread_goes_last(start: Start) -> None:
    driven = start(idle_after=0.0, ram_dir="", cache_dir="")
    driven.step(Pin("t0", True))
    for number in range(SEQUENCES + 1):
        driven.ask(f"r{number}", words(number, 40), f"t{number}", tenant=f"x{number}", max_tokens=1)
    assert sources(driven.ask("again", (*words(0, 40), 5, 6), "t0", tenant="x0")) == (40, 0, 0)


def test_what_is_only_live_is_written_when_the_server_stops(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 40), "t", max_tokens=1)
    driven.tiers.close()
    driven = start(ram_dir="")
    driven.step()
    assert driven.moved == [Moved("t", "disk", 40)]


def test_a_disk_that_was_full_is_used_again_later(start: Start, tmp_path: Path) -> None:
    driven = start(ram_dir="")
    chunks = tmp_path / "disk" / "chunks"
    chunks.rmdir()
    chunks.write_bytes(b"no folder")
    driven.ask("r1", words(1, 40), "t", max_tokens=2)
    assert evicted(driven, "t") == "cold"
    assert driven.tiers.archive.resting
    chunks.unlink()
    chunks.mkdir()
    for tier in driven.tiers.archive.tiers:
        tier.rests_until = 0.0
    driven.ask("r2", words(1, 40), "t", max_tokens=2)
    assert evicted(driven, "t") == "disk"


def test_a_full_disk_takes_nothing_from_a_pinned_or_running_thread(start: Start) -> None:
    driven = start(ram_dir="", disk_bytes=3_000_000)
    driven.step(Pin("t0", True))
    driven.ask("before", words(99, 40), "running", tenant="r", max_tokens=1)
    assert evicted(driven, "running") == "disk"
    endless = {0: -1000.0, 2: -1000.0}
    driven.submit("running", (*words(99, 40), 7, 8), "running", tenant="r", max_tokens=900, logit_bias=endless)
    for number in range(4):
        driven.ask(f"r{number}", words(number, 40), f"t{number}", tenant=f"x{number}", max_tokens=1)
        assert evicted(driven, f"t{number}") == "disk"
    assert driven.said["running"].finished is None
    moved = [each.thread for each in driven.moved if each.residency == "cold"]
    assert moved == ["t1", "t2"]
    assert driven.tiers.archive.where("running") == ("disk", 40)
    assert sources(driven.ask("again", (*words(0, 40), 5, 6), "t0", tenant="x0")) == (0, 0, 40)


def test_who_waits_for_chunks_waits_for_no_saving(start: Start) -> None:
    driven = start()
    driven.ask("r1", words(1, 300), "t", max_tokens=1)
    evicted(driven, "t")
    driven.ask("r2", words(2, 40), "other", tenant="y", max_tokens=1)
    gate = threading.Event()
    for _ in range(READERS):
        driven.tiers.files.read(gate.wait, lambda _: None)
    driven.submit("r3", (*words(1, 300), 7, 8), "t")
    slot = driven.loop._slots.of("other")
    assert slot is not None
    slot.saved, slot.used_at = 0, 0.0
    for _ in range(3):
        driven.step()
    assert slot.dirty
    gate.set()
    assert sources(driven.finish("r3")[0]) == (0, 0, 300)
    driven.until(lambda: not slot.dirty)
