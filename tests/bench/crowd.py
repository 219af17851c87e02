"""2,000 threads of 40 own tokens behind one declared system prompt, on 16 sequences.

Each is created, has one turn and is left. Then 100 of them at random are visited: what they reuse must be more
than the system prompt, that is their own. Resident memory is that of the server's two processes together; what
the RAM cache holds is in a file system in memory and does not count in it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.jobs import Story
from tests.bench.processes import Server
from tests.bench.report import Row
from tests.bench.visits import AROUND, Visitor, batches, first_ms, lengths, visiting
from tests.bench.wire import Map

HELD, REUSED, MEMORY = "crowd-held", "crowd-reused", "crowd-memory"
NAMES = (HELD, REUSED, MEMORY)
THREADS, FIRST, VISITS = 2000, 200, 100
SYSTEM, OWN = 512, 40
MEMORY_BOUND = 1.2
RAM_BYTES = 512 << 20


class Crowd(Struct, frozen=True, kw_only=True):
    """What came of it. ``memory`` is resident bytes after the first threads and after all and their visits."""

    threads: int
    first: int
    held: dict[str, int]
    visits: tuple[Story, ...]
    turns: dict[str, int]
    memory: tuple[dict[str, int], dict[str, int]]
    stats: Map

    @property
    def reused(self) -> int:
        """How many visits found what was the thread's own."""
        return sum(self.turns[visit.run] - 4 <= visit.reused_tokens for visit in self.visits)


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """All three rows, from one crowd."""
    if not names.intersection(NAMES):
        return
    with tempfile.TemporaryDirectory() as folder:
        prompt = Path(folder) / "system.txt"
        prompt.write_text(bench.vocabulary.text(SYSTEM, bench.number()))
        flags = ("--system-prompt", str(prompt), "--ram-cache", str(RAM_BYTES))
        with bench.serving(*flags) as server, visiting(bench, server) as visitor:
            crowd = _crowd(bench, server, visitor)
    makers = {HELD: _held_row, REUSED: _reused_row, MEMORY: _memory_row}
    yield from (make(crowd) for name, make in makers.items() if name in names)


def _crowd(bench: Bench, server: Server, visitor: Visitor) -> Crowd:
    count, first, visits = (64, 32, 8) if bench.quick else (THREADS, FIRST, VISITS)
    turns: dict[str, int] = {}
    for story, thread in _turns(bench, visitor, first):
        turns[thread] = story.prompt_tokens
    few = resident(server)
    for story, thread in _turns(bench, visitor, count - first):
        turns[thread] = story.prompt_tokens
    held = _residencies(visitor, list(turns))
    chosen = random.Random(count).sample(sorted(turns), visits)
    stories = [_visit(visitor, thread) for thread in chosen]
    return Crowd(
        threads=count,
        first=first,
        held=held,
        visits=tuple(stories),
        turns={story.run: turns[thread] for story, thread in zip(stories, chosen, strict=True)},
        memory=(few, resident(server)),
        stats=visitor.stats(),
    )


def _turns(bench: Bench, visitor: Visitor, count: int) -> Iterator[tuple[Story, str]]:
    """Create threads, as many at a time as there are sequences, and leave them."""
    numbers = [str(number) for number in range(count)]
    for done, batch in enumerate(batches(numbers)):
        threads = [visitor.thread(system="") for _ in batch]
        stories = [visitor.generate(thread, content=visitor.text(OWN - AROUND), max_tokens=1) for thread in threads]
        visitor.talk.hear_out(stories)
        for thread in threads:
            visitor.talk.send("unsubscribe", thread=thread)
        visitor.talk.settle()
        if done % 10 == 9:
            bench.say(f"crowd: {10 * len(batch) * (done + 1) // 10} of {count} threads")
        yield from zip(stories, threads, strict=True)


def _residencies(visitor: Visitor, threads: list[str]) -> dict[str, int]:
    found = [visitor.residency(thread) for thread in threads]
    return {residency: found.count(residency) for residency in sorted(set(found))}


def _visit(visitor: Visitor, thread: str) -> Story:
    visitor.talk.ask("subscribe", thread=thread)
    story = visitor.visit(thread)
    visitor.talk.ask("unsubscribe", thread=thread)
    return story


def resident(server: Server) -> dict[str, int]:
    """Resident bytes of the server's processes."""
    return {name: process.memory_info().rss for name, process in server.processes().items()}


def _held_row(crowd: Crowd) -> Row:
    return Row(
        name=HELD,
        claim=f"threads of {OWN} own tokens held behind one shared prefix with 16 sequences",
        measured=crowd.threads - crowd.held.get("cold", 0),
        bound=crowd.threads,
        at_least=True,
        notes=f"{crowd.held}; bytes saved by sharing: {crowd.stats['saved_bytes'] / 1e6:.0f} MB; "
        f"tiers: {crowd.stats['tiers']}",
        raw=crowd,
    )


def _reused_row(crowd: Crowd) -> Row:
    sources = {name: sum(visit.sources[name] for visit in crowd.visits) for name in ("live", "ram", "disk")}
    return Row(
        name=REUSED,
        claim=f"of {len(crowd.visits)} random threads of them, how many found all of their last prompt",
        measured=crowd.reused,
        bound=len(crowd.visits),
        at_least=True,
        notes=f"reused tokens from {sources}; first token {first_ms(crowd.visits):.0f} ms, {lengths(crowd.visits)}",
    )


def _memory_row(crowd: Crowd) -> Row:
    few, many = (sum(memory.values()) for memory in crowd.memory)
    return Row(
        name=MEMORY,
        claim=f"resident memory after that ÷ after the first {crowd.first}",
        measured=many / few,
        bound=MEMORY_BOUND,
        at_least=False,
        notes=f"MB: {_megabytes(crowd.memory[0])}, then {_megabytes(crowd.memory[1])}",
        raw=crowd.memory,
    )


def _megabytes(memory: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / 1e6:.0f}" for name, size in memory.items())
