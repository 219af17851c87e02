"""One run streams while 20 other threads are evicted and restored; its longest gap between two deltas.

They come back by turns, more of them than there are sequences: first each takes the one that was used longest
ago and comes from RAM, then each is evicted behind its turn and comes from disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from msgspec import Struct

from tests.bench.bench import STEP_MS, Bench
from tests.bench.jobs import Story
from tests.bench.long_prompt import gaps
from tests.bench.report import Row
from tests.bench.visits import Visitor, visiting

CHURN = "churn-gap"
NAMES = (CHURN,)
BOUND = 2.0
OTHERS = 20
LENGTH = 600


class Turn(Struct, frozen=True, kw_only=True):
    """One round of all others: the run's gaps in milliseconds, and where the others' tokens came from."""

    kind: str
    gaps: tuple[float, ...]
    sources: dict[str, int]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row."""
    if CHURN not in names:
        return
    others, length = (18, 200) if bench.quick else (OTHERS, LENGTH)
    with bench.serving() as server, visiting(bench, server) as visitor:
        threads = [visitor.grown(length) for _ in range(others)]
        streaming = visitor.generate(visitor.thread(), content="Tell a story.", max_tokens=3800)
        visitor.talk.until(lambda: bool(streaming.deltas))
        turns = []
        for _ in range(1 if bench.quick else 2):
            turns.append(_round(visitor, streaming, threads, evict=False))
            turns.append(_round(visitor, streaming, threads, evict=True))
            bench.say(f"{CHURN}: " + ", ".join(f"{turn.kind} {max(turn.gaps):.0f} ms" for turn in turns[-2:]))
        visitor.talk.ask("cancel", run=streaming.run)
    yield _row(turns, others, length)


def _round(visitor: Visitor, streaming: Story, threads: list[str], *, evict: bool) -> Turn:
    talk = visitor.talk
    if evict:
        for thread in threads:
            talk.send("evict", thread=thread)
        talk.settle()
    begin = streaming.deltas[-1].at
    stories = []
    for thread in threads:
        stories.append(visitor.visit(thread))
        if evict:
            talk.send("evict", thread=thread)
    talk.settle()
    seen = len(streaming.deltas)
    talk.until(lambda: len(streaming.deltas) > seen or bool(streaming.reason))
    if streaming.reason:
        raise RuntimeError(f"The streaming run ended with {streaming.reason!r} before all were restored.")
    sources = {source: sum(story.sources[source] for story in stories) for source in ("live", "ram", "disk")}
    sources["computed"] = sum(story.computed for story in stories)
    found = gaps(streaming.deltas, begin, streaming.deltas[-1].at)
    return Turn(kind="evicted to disk" if evict else "given up for others", gaps=found, sources=sources)


def _row(turns: list[Turn], others: int, length: int) -> Row:
    longest = max(max(turn.gaps) for turn in turns)
    parts = [
        f"{turn.kind}: longest {max(turn.gaps):.0f}, median {median(turn.gaps):.0f} ms, tokens from {turn.sources}"
        for turn in turns
    ]
    return Row(
        name=CHURN,
        claim=f"longest gap of a run while {others} other threads are evicted and restored ÷ step budget",
        measured=longest / STEP_MS,
        bound=BOUND,
        at_least=False,
        notes=f"threads of {length} tokens; " + "; ".join(parts),
        raw=turns,
    )
