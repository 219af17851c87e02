from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from livethread import Message, Piece, Principal
from livethread_server.chat.screen import Screen

ERASE = "\r\x1b[2K"


@pytest.fixture
def paper() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(paper: io.StringIO) -> Screen:
    return Screen(Console(file=paper, force_terminal=True, color_system=None, width=40, highlight=False))


def message(role: Any, content: str) -> Message:
    return Message(id="m", role=role, content=content, by=Principal("b", "B\x1bob"), created_at="then")


def test_a_notice_takes_the_prompts_line_and_gives_it_back(screen: Screen, paper: io.StringIO) -> None:
    screen.prompt()
    screen.notice("Bob is here.")
    assert paper.getvalue() == f"> {ERASE}Bob is here.\n> "


def test_after_a_line_was_entered_nothing_is_erased(screen: Screen, paper: io.StringIO) -> None:
    screen.prompt()
    screen.entered()
    screen.notice("Bob is here.")
    assert paper.getvalue() == "> Bob is here.\n"


def test_what_comes_within_a_reply_waits_for_its_end(screen: Screen, paper: io.StringIO) -> None:
    screen.prompt()
    with screen.reply():
        screen.piece(Piece("Good"))
        screen.notice("Bob is here.")
        with screen.reply():
            screen.piece(Piece(" day"))
        screen.prompt()
    assert paper.getvalue() == f"> {ERASE}Good day\n\n\nBob is here.\n> "


def test_a_reply_is_followed_by_one_empty_line(screen: Screen, paper: io.StringIO) -> None:
    for text in ("One", "Two\n"):
        with screen.reply():
            screen.piece(Piece(text))
            screen.piece(Piece(""))
    assert paper.getvalue() == "One\n\nTwo\n\n"


def test_a_reply_that_is_another_now_says_so(screen: Screen, paper: io.StringIO) -> None:
    with screen.reply():
        screen.piece(Piece("One"))
        screen.piece(Piece("Two", anew=True))
    assert paper.getvalue().splitlines()[0] == "One"
    assert paper.getvalue().endswith(")\nTwo\n\n")


def test_messages_say_who_wrote_them_and_nothing_in_them_is_obeyed(screen: Screen, paper: io.StringIO) -> None:
    screen.message(message("user", "Hello [red]\x1b[2J"), mine=False)
    screen.message(message("user", "Hi"), mine=True)
    screen.message(message("assistant", "a" * 60), mine=False)
    screen.message(message("system", "Be brief."), mine=True)
    assert paper.getvalue() == f"B␛ob> Hello [red]␛[2J\n> Hi\n{'a' * 60}\n\n[system] Be brief.\n"
