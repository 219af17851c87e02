"""The KV cache's layout × flash attention, on bare llama.cpp: ms a step for 1 and 16 running sequences by depth.

All 16 sequences are always that deep, also where one runs alone. The longest depth is computed once; the other
sequences are copies of the first, and shorter depths are cut from longer ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from msgspec import Struct

from tests.bench.bare import Bare
from tests.bench.bench import CONTEXT, SEQUENCES, Bench

DEPTHS = (50, 900, 4000)
RUNNING = (1, SEQUENCES)
PROMPT = 32
USUAL = "split"


class Cell(Struct, frozen=True):
    """One situation, and ms a step in it by layout; those with flash attention end in ``+FA``."""

    name: str
    ms: dict[str, float]

    def usual_to_best(self) -> float:
        """How much longer the default takes than the best."""
        return self.ms[USUAL] / min(self.ms.values())

    def told(self) -> str:
        """In a few words."""
        return f"{self.name}: " + ", ".join(f"{layout} {ms:.1f}" for layout, ms in self.ms.items())


def table(bench: Bench) -> list[Cell]:
    """Every situation in every layout."""
    depths, steps = (DEPTHS[:2], 2) if bench.quick else (DEPTHS, 7)
    cells: dict[str, dict[str, float]] = {}
    for unified in (False, True):
        for flash in (False, True):
            layout = ("unified" if unified else "split") + "+FA" * flash
            bench.say(f"layout {layout}")
            with closing(_bare(bench, max(depths), unified=unified, flash=flash)) as bare:
                for name, ms in _situations(bare, depths, steps):
                    cells.setdefault(name, {})[layout] = ms
    return [Cell(name, ms) for name, ms in cells.items()]


def _bare(bench: Bench, depth: int, *, unified: bool, flash: bool) -> Bare:
    return Bare(
        str(bench.model),
        sequences=SEQUENCES,
        length=min(CONTEXT, depth + 256) + 128,
        extra_bufts=bench.extra_bufts,
        threads=bench.threads,
        unified=unified,
        flash_attention=flash,
    )


def _situations(bare: Bare, depths: tuple[int, ...], steps: int) -> Iterator[tuple[str, float]]:
    bare.ingest(0, max(depths))
    for other in range(1, SEQUENCES):
        bare.copy(0, other)
    for depth in sorted(depths, reverse=True):
        for sequence in range(SEQUENCES):
            bare.cut(sequence, depth)
        for running in RUNNING:
            yield f"{running} running at {depth}", bare.step_ms(depth, sequences=running, rows=1, steps=steps)
        yield f"prompt chunk of {PROMPT} at {depth}", bare.step_ms(depth, sequences=1, rows=PROMPT, steps=steps)
