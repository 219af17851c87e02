"""What the way adds to the time to the first token, while eight threads stream.

On the wire: from right before the client sends ``generate`` until the first ``run.delta`` comes in. The
engine's own: from the command's arrival in the engine process to the first sample, both stamped there; it
contains the wait for the step under way. The difference is all that happens around the engine: socket,
checks, prompt rendering and tokenising, store, both pipes, event, socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median, quantiles

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.jobs import Job, Story
from tests.bench.processes import Note
from tests.bench.report import Row

FIRST_TOKEN = "first-token"
NAMES = (FIRST_TOKEN,)
BOUND_MS = 5.0
STREAMING = 8


class Probe(Struct, frozen=True):
    """One first token, in milliseconds: on the wire, the engine's own, and the ways in and out."""

    wire: float
    engine: float
    way_in: float
    way_out: float
    prompt_tokens: int

    @property
    def added(self) -> float:
        """What is not the engine's."""
        return self.wire - self.engine


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row: the median over many probes."""
    if FIRST_TOKEN not in names:
        return
    count = 10 if bench.quick else 50
    job = Job(
        together=tuple(bench.ask(words=16, max_tokens=3000) for _ in range(STREAMING)),
        after=tuple(bench.ask(words=16, max_tokens=4) for _ in range(count)),
        biases=bench.biases,
    )
    bench.say(f"{FIRST_TOKEN}: {count} probes beside {STREAMING} streaming threads")
    stories, notes = bench.load.carry_out(job).after, bench.server.notes()
    # Where the first token's text was held back (half a character), its delta comes a step late.
    yield _row([_probe(story, notes[story.run]) for story in stories if story.deltas[0].to == 1])


def _probe(story: Story, note: Note) -> Probe:
    sampled_at = note.started_at + story.timings["prompt_ms"] / 1000
    return Probe(
        wire=(story.first_at - story.sent_at) * 1000,
        engine=(sampled_at - note.arrived_at) * 1000,
        way_in=(note.arrived_at - story.sent_at) * 1000,
        way_out=(story.first_at - sampled_at) * 1000,
        prompt_tokens=story.prompt_tokens,
    )


def _row(probes: list[Probe]) -> Row:
    added = [probe.added for probe in probes]
    way_in, way_out = (median(getattr(probe, name) for probe in probes) for name in ("way_in", "way_out"))
    return Row(
        name=FIRST_TOKEN,
        claim=f"first token on the wire − the engine's own, p50, beside {STREAMING} streaming threads",
        measured=median(added),
        bound=BOUND_MS,
        at_least=False,
        unit=" ms",
        notes="(first delta in − generate sent, client's clock) − (first sample − arrival in the engine process); "
        f"p90 {quantiles(added, n=10)[-1]:.1f} ms of {len(probes)}; way in p50 {way_in:.1f}, way out p50 "
        f"{way_out:.1f}; whole p50 {median(probe.wire for probe in probes):.0f} ms, "
        f"prompts of {probes[0].prompt_tokens} tokens",
        raw=probes,
    )
