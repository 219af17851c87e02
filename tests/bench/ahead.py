"""A message of 300 tokens is appended two seconds before anybody asks for the answer.

Eager ingestion is for threads that somebody is subscribed to. The same turn without it is one on a thread to
which the client subscribes only then; otherwise both are alike: live, with one turn behind them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from tests.bench.bench import Bench
from tests.bench.jobs import Story
from tests.bench.report import Row
from tests.bench.visits import Visitor, first_ms, lengths, spread, visiting

AHEAD = "ahead"
NAMES = (AHEAD,)
BOUND = 0.15
MESSAGE = 300
PAUSE = 2.0


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row: both take turns."""
    if AHEAD not in names:
        return
    with_it: list[Story] = []
    without: list[Story] = []
    with bench.serving() as server, visiting(bench, server) as visitor:
        for _ in range(2 if bench.quick else 7):
            with_it.append(_turn(visitor, eager=True))
            without.append(_turn(visitor, eager=False))
            bench.say(f"{AHEAD}: {with_it[-1].first * 1000:.0f} ms, without {without[-1].first * 1000:.0f} ms")
    yield _row(with_it, without)


def _turn(visitor: Visitor, *, eager: bool) -> Story:
    thread = visitor.thread()
    visitor.visit(thread)
    if not eager:
        visitor.talk.ask("unsubscribe", thread=thread)
    visitor.append(thread, MESSAGE)
    time.sleep(PAUSE)
    if not eager:
        visitor.talk.ask("subscribe", thread=thread)
    return visitor.answer(thread)


def _row(with_it: list[Story], without: list[Story]) -> Row:
    ratios = [one.first / other.first for one, other in zip(with_it, without, strict=True)]
    return Row(
        name=AHEAD,
        claim=f"a {MESSAGE}-token message appended {PAUSE:g} s before generate: first token ÷ without eager ingestion",
        measured=median(ratios),
        bound=BOUND,
        at_least=False,
        notes=f"median of {len(ratios)}; with {first_ms(with_it):.0f} ms ({spread(with_it)}; {lengths(with_it)}), "
        f"without {first_ms(without):.0f} ms ({spread(without)}; {lengths(without)})",
        raw={"with": with_it, "without": without},
    )
