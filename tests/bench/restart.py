"""Threads of 1,500 tokens are on disk, the server is started again, and each is visited; then once more, live.

The first visit after a start pays for what every first time costs; it is among the others, and in the notes by
itself. ``restart-cold``: the files are dropped from the system's page cache too, so that the disk itself is read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.bench import Bench
from tests.bench.jobs import Story
from tests.bench.processes import Server
from tests.bench.report import Row
from tests.bench.revisit import BOUNDS, DISK, LENGTH
from tests.bench.visits import SETTLED, first_ms, lengths, spread, visiting

RESTART, COLD = "restart", "restart-cold"
NAMES = (RESTART, COLD)
THREADS = 3

Pair = tuple[Story, Story]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Both rows, on the same threads."""
    asked = [name for name in NAMES if name in names]
    if not asked:
        return
    pairs: dict[str, list[Pair]] = {name: [] for name in asked}
    with bench.serving() as server:
        with visiting(bench, server) as visitor:
            threads = [visitor.grown(LENGTH) for _ in range(1 if bench.quick else THREADS)]
            visitor.evict(*threads)
        for _ in range(1 if bench.quick else 3):
            for name in asked:
                pairs[name] += _after_restart(bench, server, threads, cold=name == COLD)
    for name in asked:
        yield _row(name, pairs[name], len(threads))


def _after_restart(bench: Bench, server: Server, threads: list[str], *, cold: bool) -> list[Pair]:
    server.stop()
    if cold:
        drop_from_memory(server.folder)
    server.start()
    with visiting(bench, server) as visitor:
        for thread in threads:
            visitor.talk.ask("subscribe", thread=thread)
            visitor.wait_for(thread, "disk")
        back = [visitor.visit(thread) for thread in threads]
        time.sleep(SETTLED)
        warm = [visitor.visit(thread) for thread in threads]
        visitor.evict(*threads)
    bench.say(f"restart{' (cold)' * cold}: from disk {spread(back)}; warm {spread(warm)}")
    return list(zip(back, warm, strict=True))


def drop_from_memory(folder: Path) -> None:
    """Have the system forget what it remembers of a folder's files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _row(name: str, pairs: list[Pair], threads: int) -> Row:
    ratios = sorted(back.first / warm.first for back, warm in pairs)
    backs, warms = [back for back, _ in pairs], [warm for _, warm in pairs]
    if any(back.sources["disk"] < back.prompt_tokens - 60 for back in backs):
        raise RuntimeError(f"After a restart tokens came from {[back.sources for back in backs]}.")
    beside = ", dropped from the page cache" if name == COLD else ""
    return Row(
        name=name,
        claim=f"{LENGTH:,}-token thread: revisit from disk after a restart{beside} ÷ warm turn",
        measured=median(ratios),
        bound=None if name == COLD else BOUNDS[DISK],
        at_least=False,
        notes=f"median of {len(pairs)}: {ratios[0]:.2f} … {ratios[-1]:.2f}; from disk {first_ms(backs):.0f} ms "
        f"({spread(backs)}; {lengths(backs)}), the first ones after a start {spread(backs[::threads])}; "
        f"warm {first_ms(warms):.0f} ms ({spread(warms)}; {lengths(warms)})",
        raw=pairs,
    )
