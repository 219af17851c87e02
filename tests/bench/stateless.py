"""A stateless chat that resends its history with every turn: how much of it is computed again.

Several such chats take turns, more than there are sequences for tasks, as a server meets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.completions import Api, Body, Streamed
from tests.bench.report import Row

STATELESS = "stateless-chat"
NAMES = (STATELESS,)
BOUND = 0.95
SLACK = 16
"""Tokens that may be computed beside the new ones."""
CHATS, TURNS = 24, 3
WORDS, ANSWER = 60, 40


class Turn(Struct, frozen=True):
    """The tokens of a prompt: those that the turn before did not have or say, and those that were computed."""

    new: int
    computed: int

    @property
    def served(self) -> bool:
        """Whether the rest came from the cache."""
        return self.computed <= self.new + SLACK


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row: the part of later turns that were served from the cache."""
    if STATELESS not in names:
        return
    with bench.serving() as server:
        api = Api(f"{server.url}/openai/v1")
        chats = [Chat(bench) for _ in range(8 if bench.quick else CHATS)]
        turns = [turn for _ in range(TURNS) for chat in chats if (turn := chat.say(api)) is not None]
    yield Row(
        name=STATELESS,
        claim=f"later turns of {len(chats)} stateless chats in turn that compute ≤ new tokens + {SLACK}",
        measured=sum(turn.served for turn in turns) / len(turns),
        bound=BOUND,
        at_least=True,
        notes=f"{len(turns)} turns: {median(turn.computed for turn in turns):.0f} computed, "
        f"{median(turn.new for turn in turns):.0f} new (p50); most above the new ones: "
        f"{max(turn.computed - turn.new for turn in turns)}",
        raw=turns,
    )


class Chat:
    """One program's own list of messages."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._messages: list[Body] = []
        self._before: Streamed | None = None

    def say(self, api: Api) -> Turn | None:
        """A turn; None for the first one."""
        number = self._bench.number()
        self._messages.append({"role": "user", "content": self._bench.vocabulary.text(WORDS, number)})
        (answer,) = api.chats([{"messages": self._messages, "max_tokens": ANSWER, "temperature": 0.7, "seed": number}])
        self._messages.append({"role": "assistant", "content": answer.text})
        before, self._before = self._before, answer
        if before is None:
            return None
        new = answer.prompt_tokens - before.prompt_tokens - before.completion_tokens
        return Turn(new, answer.prompt_tokens - answer.cached_tokens)
