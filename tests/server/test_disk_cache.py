from __future__ import annotations

import os
from pathlib import Path

import pytest

from livethread_server.disk_cache import DiskCache
from livethread_server.worker.shelf import Shelf, key_in
from tests.cached import files, put_cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put_cache(tmp_path / "cache")


def test_stats_say_what_is_there_and_what_sharing_saves(folder: Path) -> None:
    sizes = sorted(files(folder))
    figures = DiskCache(folder).stats()
    assert figures["threads"] == {"disk": 2}
    assert figures["tiers"]["disk"] == {"chunks": 3, "bytes": sum(sizes)}
    assert (figures["saved_bytes"], figures["unused_bytes"], figures["foreign_bytes"]) == (sizes[-1], 0, 0)


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    assert cache.stats()["tiers"]["disk"] == {"chunks": 0, "bytes": 0}
    assert cache.prune(0) == cache.verify() == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_pruning_removes_what_belongs_to_no_thread(folder: Path) -> None:
    cache = DiskCache(folder)
    (folder / "chunks" / "stray").write_bytes(b"x" * 7)
    assert cache.stats()["foreign_bytes"] == 7
    assert cache.prune(None) == (1, 7)
    shelf = Shelf(folder, key=key_in(folder), durable=True)
    shelf.remove_note("t0")
    smallest = min(files(folder))
    assert cache.stats()["unused_bytes"] == smallest
    assert cache.prune(None) == (1, smallest)
    assert cache.prune(None) == (0, 0)


def test_pruning_to_a_size_removes_what_was_used_longest_ago(folder: Path) -> None:
    cache, sizes = DiskCache(folder), sorted(files(folder))
    os.utime(files(folder)[sizes[1]], (1, 1))
    assert cache.prune(sizes[0] + sizes[2]) == (1, sizes[1])
    assert set(files(folder)) == {sizes[0], sizes[2]}
    assert cache.prune(0) == (2, sizes[0] + sizes[2])


def test_verifying_leaves_what_is_right_as_it_is(folder: Path) -> None:
    before = {path: path.stat().st_mtime for path in files(folder).values()}
    assert DiskCache(folder).verify() == (3, 0)
    assert {path: path.stat().st_mtime for path in files(folder).values()} == before


def test_verifying_removes_what_is_damaged_swapped_or_cut(folder: Path) -> None:
    one, two, three = (files(folder)[size] for size in sorted(files(folder)))
    data = bytearray(three.read_bytes())
    data[-100] ^= 1
    three.write_bytes(data)
    content = one.read_bytes()
    two.write_bytes(content)
    one.write_bytes(content[:-1])
    assert DiskCache(folder).verify() == (0, 3)
    assert files(folder) == {}


def test_what_a_death_left_half_written_is_no_damage(folder: Path) -> None:
    half = folder / "chunks" / ("ab" * 32 + ".new")
    half.write_bytes(b"LTHREAD")
    assert DiskCache(folder).stats()["foreign_bytes"] == 0
    assert DiskCache(folder).verify() == (3, 0)
    assert not half.exists()
    half.write_bytes(b"LTHREAD")
    assert DiskCache(folder).prune(None) == (0, 0)
    assert not half.exists()
