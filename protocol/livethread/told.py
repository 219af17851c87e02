"""What a reader was given of a run's text, and what may be given next.

After a restart of the server a run may go on from a little before where its readers were. The text between is not
given twice. Where it comes out differently the reader is told, for what was given cannot be taken back. This module
must never know who reads, or where the text comes from.
"""

from __future__ import annotations

from msgspec import Struct

from livethread.errors import ProtocolError


class Piece(Struct, frozen=True):
    """Text of a run, behind what was given before. ``anew``: instead of all that was given before."""

    text: str
    anew: bool = False


class Told:
    """The text of one run, as one reader was given it. An empty piece means that there is nothing to give."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._to = 0
        self._given: list[str] = []
        self._again = ""

    @property
    def text(self) -> str:
        """All that was given."""
        return "".join(self._given)

    def delta(self, start: int, to: int, text: str) -> Piece:
        """The run's tokens from ``start`` to ``to`` are ``text``. `ProtocolError` where tokens are missing."""
        if start != self._to:
            raise ProtocolError(f"Run {self._run} went on at token {start} instead of {self._to}.")
        self._to = to
        if self._again.startswith(text):
            self._again = self._again[len(text) :]
            return Piece("")
        if text.startswith(self._again):
            new, self._again = text[len(self._again) :], ""
            return self._give(new)
        kept = self.text[: -len(self._again)]
        return self._anew(kept + text)

    def whole(self, to: int, text: str) -> Piece:
        """All of the run's tokens up to ``to`` are ``text``."""
        self._to, given = to, self.text
        self._again = ""
        if text.startswith(given):
            return self._give(text[len(given) :])
        if given.startswith(text):
            self._again = given[len(text) :]
            return Piece("")
        return self._anew(text)

    def ended(self, content: str, before: str) -> Piece:
        """The run is over, and its message has this content, which began with ``before`` without the run."""
        if not self._again and content.endswith(self.text):
            return Piece("")
        return self._anew(content.removeprefix(before))

    def _give(self, text: str) -> Piece:
        if text:
            self._given.append(text)
        return Piece(text)

    def _anew(self, text: str) -> Piece:
        self._given, self._again = [text], ""
        return Piece(text, anew=True)
