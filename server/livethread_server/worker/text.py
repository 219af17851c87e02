"""Token pieces in, text out: whole characters only, and never the beginning of a stop string.

This module must never know llama.cpp or runs.
"""

from __future__ import annotations

import codecs
from collections import deque

from msgspec import Struct


class Piece(Struct, frozen=True):
    """Text that is out now, and the tokens whose text is wholly out by it."""

    tokens: tuple[int, ...]
    text: str


class Text:
    """The text of one run as its tokens come.

    The joined texts of all pieces are the run's text. Where a stop string is completed the text ends before
    it and ``stopped`` is true; of several the one that is complete first counts, the longer one of two that
    end together. A token in which the stop string begins is in no piece, though part of its text may be.
    """

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self.stopped = False
        self._stops = [_Stop(stop) for stop in stops]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._seen = 0
        self._out = 0
        self._tokens: deque[tuple[int, int]] = deque()

    @property
    def seen(self) -> int:
        """How many whole characters the tokens so far have, those that are held included."""
        return self._seen

    def push(self, token: int, piece: bytes) -> Piece | None:
        """Add a token and its bytes; what can leave now, if anything. Not to be called once ``stopped``."""
        if self._add(self._decoder.decode(piece)):
            return self._leave(self._seen)
        half = self._decoder.getstate()[0]
        self._tokens.append((token, self._seen + bool(half)))
        return self._leave(self._seen - max((stop.matched for stop in self._stops), default=0))

    def flush(self) -> Piece | None:
        """The run is over: what was held, half a character as U+FFFD."""
        self._add(self._decoder.decode(b"", final=True))
        return self._leave(self._seen)

    def _add(self, fresh: str) -> bool:
        """Hold characters up to the first stop string; whether there was one."""
        for index, character in enumerate(fresh):
            complete = [len(stop) for stop in self._stops if stop.step(character)]
            if complete:
                self._held = (self._held + fresh[: index + 1])[: -max(complete)]
                self._seen = self._out + len(self._held)
                self.stopped = True
                return True
        self._held += fresh
        self._seen += len(fresh)
        return False

    def _leave(self, until: int) -> Piece | None:
        """Let the characters before ``until``, counted from the run's first, go out."""
        count = until - self._out
        text, self._held = self._held[:count], self._held[count:]
        self._out = until
        tokens = []
        while self._tokens and self._tokens[0][1] <= until:
            tokens.append(self._tokens.popleft()[0])
        return Piece(tuple(tokens), text) if text or tokens else None


class _Stop:
    """A stop string and how much of its beginning the text ends with (Knuth, Morris and Pratt's automaton)."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._borders = _borders(stop)
        self.matched = 0

    def __len__(self) -> int:
        return len(self._stop)

    def step(self, character: str) -> bool:
        """Add a character; whether the stop string is complete by it."""
        while self.matched and self._stop[self.matched] != character:
            self.matched = self._borders[self.matched - 1]
        if self._stop[self.matched] == character:
            self.matched += 1
        return self.matched == len(self._stop)


def _borders(word: str) -> list[int]:
    """For each beginning of the word, the length of its longest proper beginning that it also ends with."""
    borders = [0] * len(word)
    for index in range(1, len(word)):
        length = borders[index - 1]
        while length and word[index] != word[length]:
            length = borders[length - 1]
        borders[index] = length + (word[index] == word[length])
    return borders
