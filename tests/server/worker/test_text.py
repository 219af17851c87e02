from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.worker.text import Piece, Text


def run(pieces: list[bytes], stops: tuple[str, ...] = ()) -> tuple[Text, list[Piece]]:
    """Push pieces as tokens 0, 1, … up to a stop; everything that came out."""
    text = Text(stops)
    out = []
    for token, piece in enumerate(pieces):
        out.append(text.push(token, piece))
        if text.stopped:
            return text, [piece for piece in out if piece]
    out.append(text.flush())
    return text, [piece for piece in out if piece]


def joined(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def tokens(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.tokens]


def expected(whole: str, stops: tuple[str, ...]) -> str:
    """Up to the stop string that ends first; the longest of those that end together."""
    for end in range(1, len(whole) + 1):
        ending = [len(stop) for stop in stops if whole[:end].endswith(stop)]
        if ending:
            return whole[: end - max(ending)]
    return whole


def test_a_piece_leaves_with_its_token() -> None:
    _, out = run([b"Hello", b" world"])
    assert out == [Piece((0,), "Hello"), Piece((1,), " world")]


def test_half_a_character_waits_for_its_other_half() -> None:
    _, out = run([b"a\xc3", b"\xa9b"])
    assert out == [Piece((), "a"), Piece((0, 1), "éb")]


def test_half_a_character_at_the_end_becomes_a_replacement_character() -> None:
    _, out = run([b"a\xf0\x9f"])
    assert joined(out) == "a\ufffd"
    assert tokens(out) == [0]


def test_a_token_without_text_counts_at_once() -> None:
    _, out = run([b"", b"a"])
    assert out == [Piece((0,), ""), Piece((1,), "a")]


def test_a_stop_string_never_leaks_its_beginning() -> None:
    text, out = run([b"one ", b"<", b"end", b">", b"two"], ("<end>",))
    assert text.stopped
    assert joined(out) == "one "
    assert tokens(out) == [0]


def test_what_only_looked_like_a_stop_string_leaves_later() -> None:
    _, out = run([b"a<", b"en", b"t"], ("<end>",))
    assert out == [Piece((), "a"), Piece((0, 1, 2), "<ent")]


def test_the_beginning_of_a_stop_string_leaves_at_the_end() -> None:
    text, out = run([b"a<en"], ("<end>",))
    assert not text.stopped
    assert out == [Piece((), "a"), Piece((0,), "<en")]


def test_a_token_that_a_stop_string_cuts_is_not_counted_though_its_text_is_there() -> None:
    _, out = run([b"a", b"b.c"], (".",))
    assert joined(out) == "ab"
    assert tokens(out) == [0]


def test_a_stop_string_is_found_within_a_repetition_of_itself() -> None:
    _, out = run([b"aa", b"ab", b"x"], ("aab",))
    assert joined(out) == "a"


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[bytes], str, tuple[str, ...]]:
    whole = draw(st.text("ab<é🙂", max_size=30))
    raw = whole.encode()
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=12)) | {0, len(raw)})
    pieces = [raw[a:b] for a, b in pairwise(cuts)]
    stops = tuple(draw(st.lists(st.text("ab<é🙂", min_size=1, max_size=5), max_size=4)))
    return pieces, whole, stops


@given(cut_texts())
def test_any_split_gives_the_same_text_and_whole_tokens(case: tuple[list[bytes], str, tuple[str, ...]]) -> None:
    pieces, whole, stops = case
    text, out = run(pieces, stops)
    assert joined(out) == expected(whole, stops)
    assert text.stopped == (joined(out) != whole)
    assert tokens(out) == list(range(len(tokens(out))))
    for index in range(len(out)):
        told = joined(out[: index + 1]).encode()
        count = len(tokens(out[: index + 1]))
        assert told.startswith(b"".join(pieces[:count]))


@given(st.lists(st.binary(max_size=5), max_size=10), st.lists(st.text(min_size=1, max_size=3), max_size=3))
def test_any_bytes_give_some_text_and_flush_counts_every_token(pieces: list[bytes], stops: list[str]) -> None:
    text, out = run(pieces, tuple(stops))
    whole = b"".join(pieces).decode("utf-8", "replace")
    assert joined(out) == expected(whole, tuple(stops))
    if not text.stopped:
        assert tokens(out) == list(range(len(pieces)))
