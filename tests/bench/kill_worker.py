"""Eight runs, and ``kill -9`` of the engine process in their middle: nobody should see it but by a pause.

Every round says the same things twice, first undisturbed. What a killed round has to do again, model loading apart,
is what the undisturbed one did up to the same token; the rest of the pause is what the restart itself takes.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from livethread_server.engine.packing import pack, unpack_up
from livethread_server.engine.wire import Configure, Ready
from tests.bench.bench import CONTEXT, SEQUENCES, Bench
from tests.bench.jobs import Story
from tests.bench.report import Row
from tests.bench.visits import Visitor, visiting

KILLED, PAUSE = "kill-worker", "kill-worker-pause"
NAMES = (KILLED, PAUSE)
ROUNDS = 20
RUNS = 8
EARLY = 5
"""In every fifth round the engine dies before anything is said."""
ANSWER = 48
PROMPTS = (20, 160)
"""Tokens of the shortest and the longest message."""


class Saying(Struct, frozen=True):
    """What one run is asked, and how its tokens are drawn: every second one by chance."""

    content: str
    sampling: dict[str, float]


class Told(Struct, frozen=True, kw_only=True):
    """The same saying undisturbed and killed. ``pause`` and ``owed`` are seconds: how long the run was silent, and
    how long the undisturbed one took to the token behind the pause.
    """

    undisturbed: Story
    killed: Story
    pause: float
    owed: float

    @property
    def wrong(self) -> bool:
        """Whether anybody could see more than a pause."""
        killed, undisturbed = self.killed, self.undisturbed
        seen = (killed.reason, killed.completion_tokens, killed.prompt_tokens, killed.final)
        due = (undisturbed.reason, undisturbed.completion_tokens, undisturbed.prompt_tokens, undisturbed.final)
        return seen != due or killed.torn or killed.starts != 1 or killed.text != killed.final


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """Runs that show more than a pause; and the longest pause, without what had to be done again."""
    asked = [name for name in NAMES if name in names]
    if not asked:
        return
    load, chance, every = _load_seconds(bench), random.Random(20), []
    with bench.serving() as server, visiting(bench, server) as visitor:
        for number in range(3 if bench.quick else ROUNDS):
            sayings = [_saying(visitor, chance, index) for index in range(RUNS)]
            undisturbed = _round(visitor, sayings, None)[1]
            moment = chance.randrange(RUNS * ANSWER * 9 // 10) if number % EARLY else 0
            killed_at, killed = _round(visitor, sayings, moment)
            told = [_told(*pair, killed_at) for pair in zip(undisturbed, killed, strict=True)]
            every += told
            bench.say(
                f"{KILLED}: round {number + 1}, {sum(each.wrong for each in every)} runs wrong, "
                f"silent for {max(each.pause for each in told):.1f} s at most"
            )
    rows = {KILLED: _row(every), PAUSE: _pause_row(every, load)}
    yield from (rows[name] for name in asked)


def _saying(visitor: Visitor, chance: random.Random, index: int) -> Saying:
    drawn: dict[str, float] = {
        "temperature": 0.8,
        "top_p": 0.9,
        "repeat_penalty": 1.1,
        "seed": chance.randrange(1 << 31),
    }
    return Saying(visitor.text(chance.randint(*PROMPTS)), drawn if index % 2 else {})


def _round(visitor: Visitor, sayings: list[Saying], tokens: int | None) -> tuple[float, list[Story]]:
    """Say everything at once and hear it out; kill the engine when so many tokens were told in all."""
    threads = [visitor.thread(system="You are a storyteller.") for _ in sayings]
    visitor.talk.settle()
    stories = [
        visitor.generate(thread, max_tokens=ANSWER, content=saying.content, sampling=saying.sampling)
        for thread, saying in zip(threads, sayings, strict=True)
    ]
    visitor.talk.settle()
    killed_at = 0.0
    if tokens is not None:
        visitor.talk.until(lambda: sum(story.deltas[-1].to for story in stories if story.deltas) >= tokens)
        visitor.kill_engine()
        killed_at = time.monotonic()
    visitor.talk.hear_out(stories)
    for thread in threads:
        visitor.talk.ask("thread.delete", thread=thread)
    return killed_at, stories


def _told(undisturbed: Story, killed: Story, killed_at: float) -> Told:
    moments = [(killed_at, max((each.to for each in killed.deltas if each.at <= killed_at), default=0))]
    moments += [(each.at, each.to) for each in killed.deltas if each.at > killed_at]
    gaps = [(after[0] - before[0], before[1]) for before, after in pairwise(moments)]
    pause, position = max(gaps, default=(0.0, 0))
    there = [each.at for each in undisturbed.deltas if each.to > position]
    owed = there[0] - undisturbed.sent_at if there else 0.0
    return Told(undisturbed=undisturbed, killed=killed, pause=pause, owed=owed)


def _load_seconds(bench: Bench) -> float:
    """How long an engine process takes until it is ready."""
    configure = Configure(
        model_path=str(bench.model),
        context=CONTEXT,
        sequences=SEQUENCES,
        extra_bufts=bench.extra_bufts,
        threads=bench.threads,
    )
    began = time.monotonic()
    command = [sys.executable, "-m", "livethread_server.worker.main"]
    said = subprocess.run(command, input=pack(configure), stdout=subprocess.PIPE, check=True).stdout
    if not isinstance(next(unpack_up().feed(said)), Ready):
        raise RuntimeError("The engine could not load the model.")
    return time.monotonic() - began


def _row(every: list[Told]) -> Row:
    return Row(
        name=KILLED,
        claim="runs that show more than a pause when their engine is killed: another text, a gap, a second start",
        measured=sum(each.wrong for each in every),
        bound=0,
        at_least=False,
        notes=f"{len(every)} runs in {len(every) // RUNS} rounds, {ANSWER} tokens each, every second one drawn by "
        "chance with a penalty",
        raw=every,
    )


def _pause_row(every: list[Told], load: float) -> Row:
    worst = max(every, key=lambda each: each.pause - each.owed)
    return Row(
        name=PAUSE,
        claim="the longest pause of a run whose engine was killed − model load − computing its tokens again",
        measured=max(0.0, worst.pause - worst.owed - load),
        bound=5.0,
        at_least=False,
        unit=" s",
        notes=f"of that one: {worst.pause:.1f} s silent, {worst.owed:.1f} s to compute it undisturbed, {load:.1f} s to "
        f"load; the longest silence of all {max(each.pause for each in every):.1f} s",
    )
