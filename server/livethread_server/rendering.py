"""What a template rendered, taken apart into what the template wrote and what it was given.

The template is rendered twice, with the contents and with sentinels in their place, and the two are laid side by
side. This module must never know tokens.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from livethread.errors import CommandError
from livethread_server.template import ChatTemplate, TemplateMessage


class Content(Struct, frozen=True):
    """The text of message ``index`` as rendered; ``whole`` where it is all of it, but for white space around."""

    index: int
    text: str
    whole: bool


Piece = str | Content
"""A literal or a content; literals and contents take turns, literals first and last."""


class Controls:
    """The texts that are control tokens where specials are parsed."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if len(text) > 1]
        self._beginnings = {text[:2] for text in self._texts}

    def within(self, text: str) -> bool:
        """Whether ``text`` holds one. Some vocabularies have thousands, which begin alike."""
        return any(beginning in text for beginning in self._beginnings) and any(one in text for one in self._texts)

    def broken(self, text: str, nonce: str) -> str:
        """``text`` with ``nonce`` inside each of them."""
        if not self.within(text):
            return text
        for control in self._texts:
            while control in text:  # again where an occurrence overlapped another
                text = text.replace(control, f"{control[0]}{nonce}{control[1:]}")
        return text


class Rendering:
    """Some messages, rendered and taken apart. ``generated`` tells which of them a model wrote.

    Raises `CommandError` ``bad_request`` where the template refuses them.
    """

    def __init__(
        self,
        template: ChatTemplate,
        controls: Controls,
        messages: Sequence[TemplateMessage],
        generated: Sequence[bool],
        now: datetime,
    ) -> None:
        self._template = template
        self._controls = controls
        self._roles = [message["role"] for message in messages]
        self._generated = generated
        self._now = now
        self._break = _nonce()
        self._mark = _nonce()
        # Every control token's text that a content holds is broken before the template sees it, so that each
        # one in the rendered text is the template's own.
        self._contents = [controls.broken(message["content"], self._break) for message in messages]
        self._text = self._render(self._contents)

    def pieces(self) -> list[Piece] | None:
        """Literals and contents in order, or None where the template's text cannot be taken apart."""
        blank = [content if not content.strip() else None for content in self._contents]
        for keep in ([None] * len(blank), blank):  # some templates leave out turns that have no content
            pieces = self._align(self._literals(keep))
            if pieces is not None:
                return list(self._as_generated(pieces, keep))
        return None

    def parts(self) -> list[str]:
        """The rendered text, cut where control tokens' texts in contents were broken."""
        return self._text.split(self._break)

    def _whole(self, text: str) -> str:
        return text.replace(self._break, "")

    def _render(self, contents: Sequence[str]) -> str:
        """Render the first messages with these contents instead of their own."""
        messages = [{"role": role, "content": content} for role, content in zip(self._roles, contents, strict=False)]
        try:
            return self._template.render(messages, self._now)
        except CommandError as error:
            raise CommandError(error.code, self._whole(error.message), **error.details) from None

    def _literals(self, keep: Sequence[str | None]) -> list[str]:
        """Render with sentinels and split there: literal, index, literal, index … literal.

        ``keep`` holds the contents that stay as they are. A template that refuses sentinels gets a literal
        that aligns with nothing.
        """
        sentinels = [f"{self._mark}{index}{self._mark}" if kept is None else kept for index, kept in enumerate(keep)]
        try:
            return re.split(f"{self._mark}(\\d+){self._mark}", self._render(sentinels))
        except CommandError:
            return [self._mark]

    def _align(self, literals: Sequence[str]) -> list[Piece] | None:
        first, position = literals[0], len(literals[0])
        if not self._text.startswith(first):
            return None
        pieces: list[Piece] = [first]
        for at in range(1, len(literals), 2):
            literal, last = literals[at + 1], at + 2 == len(literals)
            content = self._content(int(literals[at]), position, literal, last)
            if content is None:
                return None
            pieces += [content[0], literal]
            position = content[1] + len(literal)
        return pieces if position == len(self._text) else None

    def _content(self, index: int, start: int, literal: str, last: bool) -> tuple[Content, int] | None:
        """The content at ``start`` that ``literal`` follows, and where it ends."""
        content = self._contents[index]
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            end = start + len(form)
            if self._text.startswith(form, start) and self._literal_at(literal, end, last):
                return Content(index, self._whole(form), True), end
        # The template has changed the content: all up to the next literal is text.
        end = len(self._text) - len(literal) if last else self._text.find(literal, start)
        if end < start or not self._literal_at(literal, end, last) or not (literal or last):
            return None
        changed = self._text[start:end]
        if self._controls.within(changed):
            return None  # that is no content: the template wrote turns in it
        return Content(index, self._whole(changed), False), end

    def _literal_at(self, literal: str, position: int, last: bool) -> bool:
        end = position + len(literal)
        return self._text.startswith(literal, position) and (not last or end == len(self._text))

    def _as_generated(self, pieces: Sequence[Piece], keep: Sequence[str | None]) -> Iterator[Piece]:
        """Put before generated contents the literal they were generated from, where only white space differs.

        A template whose header ends in "[/INST]" when it asks and in "[/INST] " when it tells would otherwise
        cost the reuse of everything behind it.
        """
        known: dict[str, str] = {}
        for at, piece in enumerate(pieces):
            following = pieces[at + 1] if at + 1 < len(pieces) else None
            if isinstance(piece, str) and isinstance(following, Content) and self._spliced(following):
                if piece not in known:
                    known[piece] = self._asking(piece, following.index, keep)
                yield known[piece]
            else:
                yield piece

    def _spliced(self, content: Content) -> bool:
        return content.whole and self._generated[content.index]

    def _asking(self, telling: str, index: int, keep: Sequence[str | None]) -> str:
        """The last literal of the prompt for message ``index``; ``telling`` where more than spaces differ."""
        asking = self._literals(keep[:index])[-1]
        return asking if asking.rstrip() == telling.rstrip() else telling


def _nonce() -> str:
    """Eight characters of Unicode's private use, which no template trims, escapes or changes."""
    return "".join(chr(0xE000 + byte) for byte in secrets.token_bytes(8))
