"""A crowd that reads one streaming thread, and a reader in it that stops.

A delta's age is taken from when its first token left the engine process, noted by the server, to when the frame came
in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from statistics import quantiles

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.processes import Server, shares
from tests.bench.readers import Heard, Reader, Readers, many_files
from tests.bench.report import Row
from tests.bench.wire import Map

FAN_OUT, STALLED = "fan-out", "stalled-reader"
NAMES = (FAN_OUT, STALLED)
CROWD, FEW = 1000, 100
FAN_OUT_MS = 200.0
STALLED_RATIO = 1.2
FREED_SECONDS = 10.0
TOKENS = 1000
THREAD = "crowded"


class Crowd(Struct, frozen=True, kw_only=True):
    """What a crowd heard of a run: the ages of all deltas in milliseconds, how many tokens there were and at which
    rate, and how many readers heard all of them. ``freed`` is after how many seconds the server let go of the reader
    that stopped.
    """

    ages: list[float]
    tokens: int
    rate: float
    whole: int
    freed: float | None
    cpu: dict[str, float]

    @property
    def p99(self) -> float:
        """The age that 99 of 100 deltas do not reach."""
        return quantiles(self.ages, n=100)[-1]


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Both rows, on a server that notes when tokens come."""
    if not names.intersection(NAMES):
        return
    with many_files(4096), bench.serving() as server:
        if FAN_OUT in names:
            bench.say(f"{FAN_OUT}: {CROWD} readers of one run")
            yield _fan_out(_hear(bench, server, CROWD))
        if STALLED in names:
            bench.say(f"{STALLED}: {FEW} readers of one run, without and with one that stops")
            without, with_one = _hear(bench, server, FEW), _hear(bench, server, FEW, stall=True)
            yield from _stalled(without, with_one)


def _hear(bench: Bench, server: Server, count: int, *, stall: bool = False) -> Crowd:
    with closing(Readers(server.ws_url)) as readers:
        first, *others = crowd = readers.open(count)
        thread = f"{THREAD}-{bench.number()}"
        biases = {str(token): bias for token, bias in bench.biases.items()}
        sampling = {"temperature": 0.0, "max_tokens": 200 if bench.quick else TOKENS, "logit_bias": biases}
        readers.ask([first], "thread.create", 1, thread=thread, sampling=sampling)
        readers.ask(crowd, "subscribe", 2, thread=thread)
        ops = [{"op": "append", "message": {"role": "user", "content": "Tell me a story."}}]
        first.send("generate", 3, thread=thread, run=thread, ops=ops)
        stopped, freed = (others.pop() if stall else None), None
        with shares(server.processes()) as cpu:
            freed = _read(readers, [first, *others], stopped)
    tokens = server.tokens(thread)
    told = [_deltas(reader, thread) for reader in [first, *others]]
    return Crowd(
        ages=[1000 * (heard.at - tokens[delta["from"]]) for deltas in told for heard, delta in deltas],
        tokens=len(tokens),
        rate=len(tokens) / (max(tokens.values()) - min(tokens.values())),
        whole=sum(_touch([delta for _, delta in deltas]) for deltas in told),
        freed=freed,
        cpu=cpu,
    )


def _read(readers: Readers, crowd: Sequence[Reader], stopped: Reader | None) -> float | None:
    """Until everybody heard the run's end, and the reader that stopped was let go: after how many seconds that was."""
    began, freed = time.monotonic(), None
    if stopped is not None:
        readers.sleep(stopped)
    waiting = set(map(id, crowd))
    while waiting or (stopped is not None and freed is None and time.monotonic() < began + 3 * FREED_SECONDS):
        readers.listen(0.1)
        if stopped is not None and stopped.closed and freed is None:
            freed = time.monotonic() - began
        waiting = {id(reader) for reader in crowd if id(reader) in waiting and not _ended(reader)}
    return freed


def _ended(reader: Reader) -> bool:
    if reader.closed:
        raise ConnectionError("the server closed a connection that was read")
    return any(b"run.finished" in heard.data for heard in reader.heard[-2:])


def _deltas(reader: Reader, run: str) -> list[tuple[Heard, Map]]:
    told = [(heard, heard.message()) for heard in reader.heard]
    return [(heard, event) for heard, event in told if event["type"] == "run.delta" and event["run"] == run]


def _touch(deltas: Sequence[Map]) -> bool:
    """Whether deltas begin at 0 and each goes on where the last one ended."""
    return [delta["from"] for delta in deltas] == [0, *(delta["to"] for delta in deltas)][:-1]


def _fan_out(crowd: Crowd) -> Row:
    middle = quantiles(crowd.ages, n=100)
    return Row(
        name=FAN_OUT,
        claim=f"{CROWD} readers of one run: from a delta's first token to its arrival, p99",
        measured=crowd.p99,
        bound=FAN_OUT_MS,
        at_least=False,
        unit=" ms",
        notes=f"p50 {middle[49]:.0f}, p90 {middle[89]:.0f}, longest {max(crowd.ages):.0f} ms of {len(crowd.ages)} "
        f"deltas; {crowd.tokens} tokens, {crowd.rate:.0f} a second; {crowd.whole} of {CROWD} heard all of them; "
        f"{_cpu(crowd)}",
        raw=crowd.cpu,
    )


def _stalled(without: Crowd, beside: Crowd) -> Iterator[Row]:
    freed = "never" if beside.freed is None else f"after {beside.freed:.1f} s"
    yield Row(
        name=STALLED,
        claim=f"one of {FEW} readers stops: the others' p99 with it ÷ without",
        measured=beside.p99 / without.p99,
        bound=STALLED_RATIO,
        at_least=False,
        notes=f"p99 {without.p99:.1f} → {beside.p99:.1f} ms; freed {freed}; {beside.whole} of {FEW - 1} heard all; "
        f"{_cpu(beside)}",
        raw=[without.cpu, beside.cpu],
    )
    yield Row(
        name=f"{STALLED}-freed",
        claim="seconds from its stop until its socket was gone",
        measured=float("inf") if beside.freed is None else beside.freed,
        bound=FREED_SECONDS,
        at_least=False,
        unit=" s",
    )


def _cpu(crowd: Crowd) -> str:
    return "CPUs: " + ", ".join(f"{name} {share:.2f}" for name, share in crowd.cpu.items())
