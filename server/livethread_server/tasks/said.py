"""What a task has said so far: the text of its choices, and readers of it that may be slow.

It must never know what a task is, or who reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from livethread.model import TokenLogprob

TOKEN_BYTES = 36
"""About what Python needs for a token id in a list."""
LOGPROB_BYTES, ALTERNATIVE_BYTES = 320, 280
"""About what it needs for a token's logprob, with its text and bytes, and for each alternative to it."""


class Said(Struct, frozen=True):
    """Text of a ``choice``'s tokens from ``start`` to ``to`` (exclusive); its first begins at 0. ``logprobs`` has one
    for each of ``tokens``, or none.
    """

    choice: int
    start: int
    to: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


class _Choice:
    """Everything one choice has said."""

    __slots__ = ("logprobs", "pieces", "tokens")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprob] = []


class Speech:
    """Everything a task has said, and the listeners to it. Adding never waits."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._listeners: set[Listener] = set()
        self.bytes = 0
        """About how much memory it takes."""

    def add(self, choice: int, text: str, tokens: Sequence[int], logprobs: Sequence[TokenLogprob]) -> None:
        """More text of a choice."""
        said = self._choices.get(choice)
        if said is None:
            said = self._choices[choice] = _Choice()
        said.pieces.append(text)
        said.tokens += tokens
        said.logprobs += logprobs
        self.bytes += len(text) + TOKEN_BYTES * len(tokens)
        self.bytes += sum(LOGPROB_BYTES + ALTERNATIVE_BYTES * len(one.top) for one in logprobs)
        self.wake()

    def wake(self) -> None:
        """Something has happened: listeners look again."""
        for listener in self._listeners:
            listener.something.set()

    def listen(self) -> Listener:
        """Somebody who is given everything from the beginning; `Listener.leave` it at the end."""
        listener = Listener(self._choices, self._listeners.discard)
        self._listeners.add(listener)
        return listener


class Listener:
    """One reader's place in each choice. ``something`` is set whenever it should look again."""

    def __init__(self, choices: dict[int, _Choice], leave: Callable[[Listener], None]) -> None:
        self.something = asyncio.Event()
        self._choices = choices
        self._places: dict[int, tuple[int, int]] = {}
        self._leave = leave

    def take(self) -> Iterator[Said]:
        """What is new since the last time, each choice's in one."""
        self.something.clear()
        for choice, said in tuple(self._choices.items()):  # more may come while these are being used
            piece, start = self._places.get(choice, (0, 0))
            if piece < len(said.pieces):
                to = len(said.tokens)
                self._places[choice] = (len(said.pieces), to)
                yield Said(
                    choice,
                    start,
                    to,
                    "".join(said.pieces[piece:]),
                    tuple(said.tokens[start:]),
                    tuple(said.logprobs[start:]),
                )

    def leave(self) -> None:
        """Listen no more."""
        self._leave(self)
