"""A thread of 1,500 tokens is visited again: live (the warm turn), from RAM, from disk, and with nothing left of it.

All four take turns on one server; the recomputed turns are on fresh threads of that length. Files that were
just written are still in the system's page cache; the ``restart`` rows drop them from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from tests.bench.bench import Bench
from tests.bench.jobs import Story
from tests.bench.report import Row
from tests.bench.visits import SETTLED, Visitor, first_ms, lengths, spread, visiting

RAM, DISK, RECOMPUTED = "revisit-ram", "revisit-disk", "revisit-recomputed"
NAMES = (RAM, DISK, RECOMPUTED)
BOUNDS = {RAM: 1.3, DISK: 1.6, RECOMPUTED: 0.1}
LENGTH = 1500
IDLE_AFTER = 2.0
"""Seconds after which contexts leave the live ones for RAM."""

Turn = dict[str, Story]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """All three rows, from the same turns."""
    if not names.intersection(NAMES):
        return
    with bench.serving("--idle-after", str(IDLE_AFTER)) as server, visiting(bench, server) as visitor:
        turns = [*_turns(bench, visitor)]
    if RAM in names:
        yield _row(RAM, "revisit from RAM ÷ warm turn", turns, "ram", "warm")
    if DISK in names:
        yield _row(DISK, "revisit from disk ÷ warm turn", turns, "disk", "warm")
    if RECOMPUTED in names:
        yield _row(RECOMPUTED, "revisit from disk ÷ recomputing it", turns, "disk", "recomputed")


def _turns(bench: Bench, visitor: Visitor) -> Iterator[Turn]:
    thread = visitor.grown(LENGTH)
    for _ in range(2 if bench.quick else 7):
        turn = _turn(visitor, thread)
        bench.say("revisit: " + ", ".join(f"{kind} {story.first * 1000:.0f} ms" for kind, story in turn.items()))
        yield turn


def _turn(visitor: Visitor, thread: str) -> Turn:
    visitor.evict(thread)
    disk = visitor.visit(thread)
    time.sleep(SETTLED)
    warm = visitor.visit(thread)
    visitor.wait_for(thread, "ram")
    ram = visitor.visit(thread)
    recomputed = visitor.visit(visitor.thread(), warm.prompt_tokens - 20)
    turn = {"warm": warm, "ram": ram, "disk": disk, "recomputed": recomputed}
    for kind in ("ram", "disk"):
        _check(turn[kind], kind)
    return turn


def _check(story: Story, source: str) -> None:
    if story.sources[source] < story.prompt_tokens - 60:
        raise RuntimeError(f"A revisit from {source} took its {story.prompt_tokens} tokens from {story.sources}.")


def _row(name: str, claim: str, turns: list[Turn], one: str, other: str) -> Row:
    ratios = sorted(turn[one].first / turn[other].first for turn in turns)
    ones, others = [turn[one] for turn in turns], [turn[other] for turn in turns]
    return Row(
        name=name,
        claim=f"{LENGTH:,}-token thread: {claim}",
        measured=median(ratios),
        bound=BOUNDS[name],
        at_least=False,
        notes=f"median of {len(turns)}: {ratios[0]:.3f} … {ratios[-1]:.3f}; {one} {first_ms(ones):.0f} ms "
        f"({spread(ones)}; {lengths(ones)}), {other} {first_ms(others):.0f} ms ({spread(others)}; {lengths(others)})",
        raw=turns,
    )
