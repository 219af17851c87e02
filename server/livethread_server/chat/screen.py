"""What the person at the terminal sees: the conversation, a prompt, and notices that never fall into a reply.

All text goes through `words`. This module must never know connections or commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from livethread import Message, Piece
from livethread_server.chat.words import one_line, readable

PROMPT = "> "
ERASED = Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2))


class Screen:
    """A terminal. What comes while a reply is being written waits for its end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._prompted = False
        self._replies = 0
        self._column = 0
        self._waiting: list[Text] = []

    def prompt(self) -> None:
        """Ask for a line."""
        if not self._replies:
            self._console.print(Text(PROMPT, "bold cyan"), end="")
            self._prompted = True

    def entered(self) -> None:
        """The line was entered, which ended the prompt's."""
        self._prompted = False

    def notice(self, sentence: str, style: str = "dim") -> None:
        """Say something beside the conversation."""
        self._show(Text(readable(sentence), style))

    def error(self, sentence: str) -> None:
        """Say what went wrong."""
        self.notice(sentence, "red")

    def message(self, message: Message, mine: bool) -> None:
        """Show a whole message."""
        name = "" if mine or message.by is None else one_line(message.by.name)
        if message.role == "user":
            self._show(Text(f"{name}{PROMPT}", "bold cyan").append(readable(message.content), "default"))
        elif message.role == "assistant":
            self._show(Text(f"{readable(message.content)}\n"))
        else:
            self._show(Text(f"[{message.role}] {readable(message.content)}", "dim"))

    @contextmanager
    def reply(self) -> Iterator[None]:
        """While a reply is written, piece by piece."""
        self._erase_prompt()
        asked, self._prompted, self._column = self._prompted, False, 0
        self._replies += 1
        try:
            yield
        finally:
            self._replies -= 1
            self._console.out("\n" if self._column else "", end="\n", highlight=False)
            self._column = 0
            if not self._replies:
                self._catch_up(asked)

    def piece(self, piece: Piece) -> None:
        """The next piece of the reply."""
        if piece.anew:
            self._console.print(Text("\n(The server was restarted. The reply is another now:)", "dim"))
        text = readable(piece.text)
        if text:
            self._column = 0 if text.endswith("\n") else 1
            self._console.out(text, end="", highlight=False)

    def _catch_up(self, asked: bool) -> None:
        for text in self._waiting:
            self._console.print(text, soft_wrap=True)
        self._waiting.clear()
        if asked:
            self.prompt()

    def _show(self, text: Text) -> None:
        if self._replies:
            self._waiting.append(text)
            return
        asked = self._prompted
        self._erase_prompt()
        self._console.print(text, soft_wrap=True)
        if asked:
            self.prompt()

    def _erase_prompt(self) -> None:
        if self._prompted:
            self._console.control(ERASED)
