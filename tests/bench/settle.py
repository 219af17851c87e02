"""What is to be settled by measurement: rows without a bound, measured only when they are named.

``settle-layout``: the KV cache's layout and flash attention. ``settle-restore``: where the time of a restore goes.
``settle-chunk``: how large chunks should be. ``settle-step``: how long a step should take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from tests.bench import budgets, layouts, stages
from tests.bench.bench import Bench
from tests.bench.processes import Load
from tests.bench.report import Row

LAYOUT, RESTORE, CHUNK, STEP = "settle-layout", "settle-restore", "settle-chunk", "settle-step"
NAMES = (LAYOUT, RESTORE, CHUNK, STEP)


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """The rows asked for."""
    if names.intersection(NAMES):
        bench.let_go()
    if LAYOUT in names:
        yield _layout_row(layouts.table(bench))
    if names.intersection((RESTORE, CHUNK)):
        sizes = stages.by_chunk_size(bench)
        if RESTORE in names:
            yield _restore_row(sizes)
        if CHUNK in names:
            yield _chunk_row(sizes)
    if STEP in names:
        yield _step_row([_budget(bench, ms) for ms in budgets.BUDGETS])


def _layout_row(cells: list[layouts.Cell]) -> Row:
    worst = max(cells, key=layouts.Cell.usual_to_best)
    return Row(
        name=LAYOUT,
        claim="ms a step of the split layout without flash attention ÷ best of four, where it is worst",
        measured=worst.usual_to_best(),
        bound=None,
        at_least=False,
        notes=f"worst: {worst.name}. " + "; ".join(cell.told() for cell in cells),
        raw=cells,
    )


def _restore_row(sizes: dict[int, stages.Stages]) -> Row:
    usual = sizes[stages.USUAL]
    return Row(
        name=RESTORE,
        claim=f"restoring {stages.LENGTH:,} tokens from chunks of {stages.USUAL}, one OS thread",
        measured=usual.restore,
        bound=None,
        at_least=False,
        unit=" ms",
        notes=usual.told(),
        raw=sizes,
    )


def _chunk_row(sizes: dict[int, stages.Stages]) -> Row:
    return Row(
        name=CHUNK,
        claim=f"restoring from chunks of {stages.USUAL} tokens ÷ from those of the best size",
        measured=sizes[stages.USUAL].restore / min(each.restore for each in sizes.values()),
        bound=None,
        at_least=False,
        notes="; ".join(
            f"{size}: back in {each.restore:.1f} ms, saved in {each.save:.1f} ms, "
            f"{each.again} tokens written again after {stages.MORE} new ones"
            for size, each in sizes.items()
        ),
    )


def _budget(bench: Bench, ms: float) -> budgets.Budget:
    with bench.serving("--step-ms", str(ms)) as server, closing(Load(server.ws_url)) as load:
        return budgets.measure(bench, load, ms)


def _step_row(found: list[budgets.Budget]) -> Row:
    usual = next(each for each in found if each.ms == budgets.USUAL)
    return Row(
        name=STEP,
        claim=f"a 2,000-token prompt alone with a step budget of {budgets.USUAL:g} ms ÷ with the best",
        measured=usual.alone / min(each.alone for each in found),
        bound=None,
        at_least=False,
        notes="; ".join(each.told() for each in found),
        raw=found,
    )
