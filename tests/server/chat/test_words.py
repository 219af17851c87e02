from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.chat.words import one_line, readable


def test_escape_sequences_are_shown_not_obeyed() -> None:
    assert readable("\x1b]0;title\x07\x1b[2J") == "␛]0;title␇␛[2J"
    assert readable("a\x9b31mb\x7f") == "a\ufffd31mb␡"
    assert readable("a\u202eb\u2066c") == "a\ufffdb\ufffdc"


def test_lines_and_tabs_stay() -> None:
    assert readable("a\r\nb\tc\u2028d") == "a\nb\tc\nd"
    assert one_line(" a\r\n b\x1b ") == "a b␛"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_a_terminal_obeys_is_left_and_pieces_are_as_good_as_the_whole(text: str) -> None:
    shown = readable(text)
    assert all(unicodedata.category(letter) not in ("Cc", "Cs") or letter in "\n\t" for letter in shown)
    assert "".join(map(readable, text)) == shown
    shown.encode()
