"""One run decodes while another thread brings a prompt of 2,000 tokens.

The run's longest gap between two deltas, from the moment the prompt is sent until its first token is
there; and the time to the prompt's first token on the wire, beside the run ÷ alone. Beside and alone take
turns. Every prompt is another from its first word on; what was reused anyway (the template's first tokens)
is in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from msgspec import Struct

from tests.bench.bench import STEP_MS, Bench
from tests.bench.jobs import Arrival, Ask, Job, Outcome
from tests.bench.processes import Load
from tests.bench.report import Row

GAP, TIME = "long-prompt-gap", "long-prompt-time"
NAMES = (GAP, TIME)
WORDS = 1980
"""With the template around them about 2,000 tokens."""
GAP_BOUND = 2.0
TIME_BOUND = 1.5


class Turn(Struct, frozen=True, kw_only=True):
    """One turn of both. Seconds to the prompt's first token; the run's gaps in milliseconds."""

    alone: float
    beside: float
    gaps: tuple[float, ...]
    prompt_tokens: tuple[int, int]
    reused_tokens: tuple[int, int]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Both rows, from the same turns."""
    if not names.intersection(NAMES):
        return
    turns = [turn(bench, bench.load) for _ in range(1 if bench.quick else 3)]
    if GAP in names:
        yield _gap_row(turns)
    if TIME in names:
        yield _time_row(turns)


def turn(bench: Bench, load: Load) -> Turn:
    """One of both, on the server that ``load`` is connected to."""
    alone = _outcome(bench, load).after[0]
    outcome = _outcome(bench, load, bench.ask(words=16, max_tokens=3500))
    beside, run = outcome.after[0], outcome.together[0]
    found = Turn(
        alone=alone.first_at - alone.sent_at,
        beside=beside.first_at - beside.sent_at,
        gaps=gaps(run.deltas, beside.sent_at, beside.first_at),
        prompt_tokens=(alone.prompt_tokens, beside.prompt_tokens),
        reused_tokens=(alone.reused_tokens, beside.reused_tokens),
    )
    bench.say(
        f"long prompt: alone {found.alone:.2f} s, beside {found.beside:.2f} s, longest gap {max(found.gaps):.0f} ms"
    )
    return found


def _outcome(bench: Bench, load: Load, *beside: Ask) -> Outcome:
    return load.carry_out(Job(together=beside, after=(bench.ask(words=WORDS, max_tokens=4),), biases=bench.biases))


def gaps(deltas: list[Arrival], start: float, end: float) -> tuple[float, ...]:
    """The milliseconds between deltas, of all gaps that touch the time from ``start`` to ``end``."""
    times = [delta.at for delta in deltas]
    return tuple((later - earlier) * 1000 for earlier, later in pairwise(times) if later >= start and earlier <= end)


def _gap_row(turns: list[Turn]) -> Row:
    longest = [max(turn.gaps) for turn in turns]
    usual = median(gap for turn in turns for gap in turn.gaps)
    return Row(
        name=GAP,
        claim="longest gap of a run beside a 2,000-token prompt ÷ step budget",
        measured=max(longest) / STEP_MS,
        bound=GAP_BOUND,
        at_least=False,
        notes=f"longest of all turns; of each: {_list(longest, 0)} ms; median gap {usual:.0f} ms; "
        f"budget {STEP_MS:g} ms",
        raw=turns,
    )


def _time_row(turns: list[Turn]) -> Row:
    alone, beside = [turn.alone for turn in turns], [turn.beside for turn in turns]
    tokens = sorted({count for turn in turns for count in turn.prompt_tokens})
    return Row(
        name=TIME,
        claim="a 2,000-token prompt beside a decoding run ÷ alone, to its first token on the wire",
        measured=median(beside) / median(alone),
        bound=TIME_BOUND,
        at_least=False,
        notes=f"medians of {len(turns)}: beside {_list(beside, 2)} s, alone {_list(alone, 2)} s; "
        f"{tokens[0]}–{tokens[-1]} tokens, at most {max(max(turn.reused_tokens) for turn in turns)} reused",
        raw=turns,
    )


def _list(values: list[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
