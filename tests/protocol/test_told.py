"""What a reader of a run's text is given is the text, whatever a restarted server says again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.errors import ProtocolError
from livethread.told import Piece, Told

TEXTS = st.lists(st.text("ab", max_size=3), max_size=8)


def given_of(pieces: list[Piece]) -> str:
    """What a reader holds who heeds every piece."""
    text = ""
    for piece in pieces:
        text = piece.text if piece.anew else text + piece.text
    return text


def test_deltas_are_given_as_they_come_and_never_with_a_gap() -> None:
    told = Told("r")
    assert [told.delta(0, 1, "a"), told.delta(1, 3, "b")] == [Piece("a"), Piece("b")]
    with pytest.raises(ProtocolError, match="went on at token 4 instead of 3"):
        told.delta(4, 5, "c")


@given(TEXTS, st.integers(0, 8), st.data())
def test_what_is_said_again_is_not_given_again(words: list[str], cut: int, data: st.DataObject) -> None:
    told, pieces = Told("r"), []
    for token, word in enumerate(words[:cut]):
        pieces.append(told.delta(token, token + 1, word))
    kept = data.draw(st.integers(0, len(words)))
    pieces.append(told.whole(kept, "".join(words[:kept])))
    for token, word in list(enumerate(words))[kept:]:
        pieces.append(told.delta(token, token + 1, word))
    pieces.append(told.ended("before " + "".join(words), "before "))
    assert not any(piece.anew for piece in pieces)
    assert given_of(pieces) == told.text == "".join(words)


@given(TEXTS, TEXTS, st.integers(0, 8))
def test_what_comes_out_differently_is_given_anew(first: list[str], second: list[str], kept: int) -> None:
    told, pieces = Told("r"), []
    for token, word in enumerate(first):
        pieces.append(told.delta(token, token + 1, word))
    pieces.append(told.whole(min(kept, len(second)), "".join(second[:kept])))
    for token, word in list(enumerate(second))[kept:]:
        pieces.append(told.delta(token, token + 1, word))
    pieces.append(told.ended("".join(second), ""))
    assert given_of(pieces) == told.text == "".join(second)
    assert any(piece.anew for piece in pieces) is not "".join(second).startswith("".join(first))


def test_a_message_that_ends_before_what_was_given_is_given_anew() -> None:
    told = Told("r")
    told.delta(0, 2, "One two")
    assert told.whole(1, "One") == Piece("")
    assert told.ended("Say: One", "Say: ") == Piece("One", anew=True)
