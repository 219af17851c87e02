"""Which messages a prompt leaves out where they do not all fit: whole oldest turns, never the system message.

The answer follows from the messages alone: going through them from the beginning, the cut moves only where a
prompt does not fit, and then so far that the next turns have room. So what was dropped stays dropped, the
prompt's beginning stays the same, and a restart or a fork comes to the same cut. This module must never know
templates, tokens or threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec
from msgspec import Struct

from livethread_server.prompt import Prompt, PromptTurn

KEPT = 3 / 4
"""How much of the context a prompt may fill where the cut has moved."""
CUTS_KNOWN = 1024
"""Of how many threads the cut is remembered; that of another is found again."""

Render = Callable[[Sequence[PromptTurn]], Prompt]


class Cut(Struct, frozen=True):
    """The messages between the system message and the one at ``first`` are left out. It was decided on the
    messages ``known`` and holds as long as a thread begins with them."""

    first: int
    known: tuple[PromptTurn, ...]

    def holds(self, turns: Sequence[PromptTurn]) -> bool:
        """Whether ``turns`` begin with what is known."""
        return tuple(turns[: len(self.known)]) == self.known


class Cuts:
    """The cuts of the threads that were asked for last, so that not every prompt begins with all messages."""

    def __init__(self) -> None:
        self._cuts: OrderedDict[str, Cut] = OrderedDict()

    def get(self, thread: str) -> Cut | None:
        """The cut that held last."""
        return self._cuts.get(thread)

    def put(self, thread: str, cut: Cut | None) -> None:
        """Remember what holds now."""
        self._cuts.pop(thread, None)
        if cut is not None:
            self._cuts[thread] = cut
        if len(self._cuts) > CUTS_KNOWN:
            self._cuts.popitem(last=False)


def fit(
    turns: Sequence[PromptTurn], render: Render, context: int, cut: Cut | None, *, settled: int
) -> tuple[Prompt, Cut | None]:
    """A prompt of fewer than ``context`` tokens, where leaving out turns can make it so, and its cut.

    ``cut`` is the one that held before, or None; it saves work and changes nothing. The first ``settled``
    turns are whole, a later one is to be continued.
    """
    head = _head(turns)
    first = cut.first if cut is not None and cut.holds(turns) else head
    prompt = render((*turns[:head], *turns[first:]))
    if len(prompt.tokens) >= context:
        whole = prompt if first == head else render(turns)
        first = _first_kept(turns, _places(turns, whole), len(whole.tokens), context, settled)
        prompt = render((*turns[:head], *turns[first:]))
        while len(prompt.tokens) >= context and (later := _next_turn(turns, first, len(turns))) is not None:
            # A template need not say the same of the rest as of the whole.
            first = later
            prompt = render((*turns[:head], *turns[first:]))
    if first == head:
        return prompt, None
    return msgspec.structs.replace(prompt, dropped=first - head), Cut(first, tuple(turns[:settled]))


def _first_kept(turns: Sequence[PromptTurn], places: Sequence[int], length: int, context: int, settled: int) -> int:
    """Where the kept turns begin after all prompts that the thread has needed up to now.

    ``places`` are where each turn begins in the prompt of all of them, which has ``length`` tokens.
    """
    head = first = _head(turns)
    needed = [(at, places[at]) for at in range(head + 1, settled) if turns[at].role == "assistant"]
    for at, tokens in [*needed, (len(turns), length)]:
        if tokens - (places[first] - places[head]) < context:
            continue
        while tokens - (places[first] - places[head]) > KEPT * context:
            later = _next_turn(turns, first, at)
            if later is None:
                break
            first = later
    return first


def _head(turns: Sequence[PromptTurn]) -> int:
    """How many messages stand before the first that may be left out."""
    return next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))


def _next_turn(turns: Sequence[PromptTurn], first: int, stop: int) -> int | None:
    """Where the turn after the one at ``first`` begins, before ``stop``: with the next user's message."""
    return next((at for at in range(first + 1, stop) if turns[at].role == "user"), None)


def _places(turns: Sequence[PromptTurn], prompt: Prompt) -> list[int]:
    """Where each message begins in the prompt; in proportion to its bytes where the prompt does not tell."""
    if any(prompt.ends.values()):
        return [prompt.starts[turn.id] for turn in turns]
    ends = list(accumulate(len(turn.content.encode()) for turn in turns))
    return [len(prompt.tokens) * start // max(1, ends[-1]) for start in (0, *ends[:-1])]
