"""Where a run's text stood whenever it was told: how a token's position becomes one in the text.

It must never know runs, or who listens.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left


class Boundaries:
    """Pairs of a count of tokens and one of characters, in the order told; eight bytes for each delta.

    Text may be told before the token that it belongs to is counted. Such a count of tokens stands for more than one
    length of the text, and nobody can vouch for it.
    """

    def __init__(self, tokens: int = 0, characters: int = 0) -> None:
        self._tokens = array("I", (tokens,))
        self._characters = array("I", (characters,))

    def add(self, tokens: int, characters: int) -> None:
        """So many tokens and characters have been told now; neither is ever fewer than before."""
        self._tokens.append(tokens)
        self._characters.append(characters)

    def characters(self, tokens: int) -> int | None:
        """How many characters whoever has been told so many tokens holds; None where that is not sure."""
        index = bisect_left(self._tokens, tokens)
        if tokens not in self._tokens[index : index + 1] or tokens in self._tokens[index + 1 : index + 2]:
            return None
        return self._characters[index]
