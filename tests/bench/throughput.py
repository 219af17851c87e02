"""Output tokens a second over the wire ÷ those of a bare loop over the same batches.

Both draw greedily behind the same ``logit_bias`` sampler (no run may end early), in the same layout, with as
many OS threads. Only the steady phase counts: from the moment all runs stream until the first one ends. The
bare loop then does exactly those steps at exactly those depths. Wire and bare take turns, because the
machine's speed drifts; each turn of both is one ratio, and the median ratio is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.jobs import Arrival, Job, Story
from tests.bench.processes import shares
from tests.bench.report import Row

IDLE = "idle-cpu"
THREADS = {"throughput-1": 1, "throughput-8": 8, "throughput-16": 16}
NAMES = (*THREADS, IDLE)
BOUND = 0.9
IDLE_BOUND = 0.02
TOKENS = {1: 160, 8: 128, 16: 112}
"""Tokens of each run by the number of threads: three to eight seconds."""


class Phase(Struct, frozen=True):
    """The steady phase: at its begin runs had ``depths`` tokens, then came ``steps`` more for each."""

    depths: tuple[int, ...]
    steps: int
    speed: float


class Turn(Struct, frozen=True, kw_only=True):
    """One turn of both; speeds in tokens a second, CPU shares while the wire was busy and while it was not."""

    wire: float
    bare: float
    phase: Phase
    serving: dict[str, float]
    idle: dict[str, float]

    @property
    def ratio(self) -> float:
        """The part of the bare loop's speed that the wire keeps."""
        return self.wire / self.bare


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """The rows of every number of threads asked for, and what the server takes while it has nothing to do."""
    turns: list[Turn] = []
    for name, threads in THREADS.items():
        if name in names or (names == {IDLE} and threads == 1):
            measured = [_turn(bench, name, threads) for _ in range(2 if bench.quick else 7)]
            turns += measured
            if name in names:
                yield _row(name, threads, measured)
    if IDLE in names:
        yield _idle_row(turns)


def _turn(bench: Bench, name: str, threads: int) -> Turn:
    tokens = TOKENS[threads] // (2 if bench.quick else 1)
    job = Job(together=tuple(bench.ask(words=16, max_tokens=tokens) for _ in range(threads)), biases=bench.biases)
    with shares(bench.processes()) as serving:
        outcome = bench.load.carry_out(job)
    phase = steady(outcome.together)
    with shares(bench.server.processes()) as idle:
        bare = bench.bare.speed(phase.depths, phase.steps)
    turn = Turn(wire=phase.speed, bare=bare, phase=phase, serving=serving, idle=idle)
    bench.say(f"{name}: wire {turn.wire:.1f}, bare {turn.bare:.1f} tok/s, ratio {turn.ratio:.3f}")
    return turn


def steady(stories: tuple[Story, ...]) -> Phase:
    """The phase in which all stream; each run counts between its own first and last delta in it."""
    begin = max(story.first_at for story in stories)
    end = min(story.deltas[-1].at for story in stories)
    inside = [[delta for delta in story.deltas if begin <= delta.at <= end] for story in stories]
    depths = (story.prompt_tokens + deltas[0].to for story, deltas in zip(stories, inside, strict=True))
    steps = round(median(deltas[-1].to - deltas[0].to for deltas in inside))
    return Phase(tuple(depths), steps, sum(map(_speed, inside)))


def _speed(deltas: list[Arrival]) -> float:
    return (deltas[-1].to - deltas[0].to) / (deltas[-1].at - deltas[0].at)


def _row(name: str, threads: int, turns: list[Turn]) -> Row:
    ratios = sorted(turn.ratio for turn in turns)
    wire, bare = median(turn.wire for turn in turns), median(turn.bare for turn in turns)
    taken = {part: median(turn.serving[part] for turn in turns) for part in turns[0].serving}
    disturbed = median(turn.idle["others"] for turn in turns)
    return Row(
        name=name,
        claim=f"output tok/s over the wire ÷ bare loop, {threads} thread{'s' if threads > 1 else ''}",
        measured=median(ratios),
        bound=BOUND,
        at_least=True,
        notes=f"wire {wire:.1f}, bare {bare:.1f} tok/s; {len(turns)} turns of {turns[0].phase.steps} steps: "
        f"{ratios[0]:.3f} … {ratios[-1]:.3f}; CPU share (of one core): "
        + ", ".join(f"{part} {share:.1%}" for part, share in taken.items())
        + f" (others {disturbed:.1%} beside the bare loop)",
        raw=turns,
    )


def _idle_row(turns: list[Turn]) -> Row:
    taken = [turn.idle["server"] + turn.idle["engine"] for turn in turns]
    return Row(
        name=IDLE,
        claim="CPU share of server and engine together while idle (bare loop's turns)",
        measured=median(taken),
        bound=IDLE_BOUND,
        at_least=False,
        notes=f"of one core; highest of {len(taken)}: {max(taken):.1%}",
        raw=taken,
    )
