"""What a person waits for, here and at llama-server: the same machine, model file and conversations, in one run.

Each server has the machine to itself. All rows are times to the first token, p50, ours ÷ theirs, without a bound.
Needs the wheel ``xllamacpp``, which runs llama-server inside Python; without it the rows are left out.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Protocol, TypeVar

from tests.bench.bench import Bench
from tests.bench.peer_sides import CONTEXT, SEQUENCES, Ours, Theirs
from tests.bench.report import Row
from tests.bench.visits import AROUND, NEW

PEER = "peer"
NAMES = (PEER,)
TURN, TURNS = 300, 3
"""Tokens of a turn, and turns, that a thread has before it is measured."""
CROWD = 12
"""Threads among which one is revisited: more than there are sequences."""
PAUSE = 2.0
WARM, EDIT, FORK, REVISIT, PAUSED, RESTART = CLAIMS = (
    f"next turn on a warm thread ({NEW} new tokens)",
    "edit the last user message",
    "fork in the middle",
    f"revisit among {CROWD} threads",
    f"a {TURN}-token message, {PAUSE:g} s after it was written",
    "next turn after a restart of the server",
)

Chat = TypeVar("Chat")
Times = dict[str, list[float]]


class Side(Protocol[Chat]):
    """One of the two servers, as a person sees it. All that is timed answers seconds to the first token."""

    def begin(self) -> Chat:
        """A new thread."""

    def say(self, chat: Chat, tokens: int) -> float:
        """A turn with a new message."""

    def edit(self, chat: Chat, tokens: int) -> float:
        """Another last message, and an answer to that."""

    def fork(self, chat: Chat) -> Chat:
        """A new thread that goes as this one to its middle."""

    def write(self, chat: Chat, tokens: int) -> Callable[[], float]:
        """A message that is there but not answered; the result asks for the answer."""

    def restart(self) -> None:
        """Stop the server and start it again."""


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row for each figure."""
    if PEER not in names:
        return
    if importlib.util.find_spec("xllamacpp") is None:
        bench.say("peer: left out, since llama-server is not here. Install it with: pip install xllamacpp")
        return
    count = 2 if bench.quick else 7
    flags = ("--sequences", str(SEQUENCES), "--context", str(CONTEXT))
    with bench.serving(*flags) as server, Ours(bench, server) as ours:
        mine = _times(ours, count)
    with Theirs(bench) as theirs:
        others = _times(theirs, count)
    for claim in CLAIMS:
        yield _row(claim, mine[claim], others[claim])


def _times(side: Side[Chat], count: int) -> Times:
    chat = _grown(side, TURNS)
    times: Times = {
        WARM: [side.say(chat, NEW - AROUND) for _ in range(count)],
        EDIT: [side.edit(chat, NEW - AROUND) for _ in range(count)],
        FORK: [side.say(side.fork(chat), NEW - AROUND) for _ in range(count)],
        PAUSED: [_paused(side, _grown(side, 1)) for _ in range(count)],
    }
    crowd = [_grown(side, 1) for _ in range(CROWD)]
    times[REVISIT] = [side.say(each, NEW - AROUND) for each in crowd]
    times[RESTART] = []
    for _ in range(min(count, 3)):
        side.restart()
        times[RESTART].append(side.say(chat, NEW - AROUND))
    return times


def _grown(side: Side[Chat], turns: int) -> Chat:
    chat = side.begin()
    for _ in range(turns):
        side.say(chat, TURN)
    return chat


def _paused(side: Side[Chat], chat: Chat) -> float:
    answer = side.write(chat, TURN)
    time.sleep(PAUSE)
    return answer()


def _row(claim: str, mine: list[float], others: list[float]) -> Row:
    return Row(
        name=PEER,
        claim=f"{claim}: first token, ours ÷ llama-server's",
        measured=median(mine) / median(others),
        bound=None,
        at_least=False,
        notes=f"ours {_told(mine)}; llama-server {_told(others)}",
        raw={"ours": mine, "theirs": others},
    )


def _told(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ms ({', '.join(f'{each * 1000:.0f}' for each in seconds)})"
