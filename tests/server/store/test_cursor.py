"""Cursors: what was given out continues, anything else is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread_server.store.base import BadCursor
from livethread_server.store.cursor import to_cursor, to_mark


@given(st.tuples(st.text(max_size=40), st.text(max_size=64)))
def test_a_cursor_leads_back_to_its_mark_and_is_safe_in_a_url(mark: tuple[str, str]) -> None:
    cursor = to_cursor(mark)
    assert to_mark(cursor) == mark
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


def test_a_cursor_of_usual_ids_fits_into_a_command() -> None:
    assert len(to_cursor(("2026-01-01T00:00:00.000000Z", "x" * 64))) <= 512


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\ud800",
        "W10",
        "WyJhIl0",
        "bnVsbA",
        "WyJhIiwxXQ",
        "WyAiYSIsImIiXQ",
        "WyJhIiwiYiJd=",
        "[" * 999,
    ],
)
def test_what_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        to_mark(cursor)


@given(st.text())
def test_any_text_is_a_mark_or_is_refused(cursor: str) -> None:
    try:
        mark = to_mark(cursor)
    except BadCursor:
        return
    assert to_cursor(mark) == cursor
