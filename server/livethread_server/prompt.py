"""Messages → tokens: the chat template is rendered, and what was generated goes in as the ids it was.

The template is rendered twice, with the contents and with sentinels in their place; laid side by side, the
two tell literals (what the template wrote) from contents (what people or the model wrote). Literals are
tokenised with specials, contents without, so no content can forge a turn; generated contents are spliced as
their token ids, so what a live context holds is found again. A prompt must never know stores, engines or hubs.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from livethread.errors import CommandError
from livethread_server.models import ModelError
from livethread_server.template import ChatTemplate, TemplateBroken
from livethread_server.vocabulary import Vocabulary


class PromptTurn(Struct, frozen=True):
    """One message. ``tokens`` are the ids it was generated as; None where its content is the only truth."""

    id: str
    role: str
    content: str
    tokens: tuple[int, ...] | None


class Prompt(Struct, frozen=True):
    """``tokens`` to feed. ``starts`` and ``ends`` say for every message where its content begins and ends
    in them, the end exclusive. A message that the template leaves out stands, with no tokens, at the end of the
    one before it; a change of it keeps no more than that.
    """

    tokens: tuple[int, ...]
    starts: dict[str, int]
    ends: dict[str, int]


class _Content(Struct, frozen=True):
    """The text of turn ``index`` as rendered; ``whole`` where it is all of it, but for white space around."""

    index: int
    text: str
    whole: bool


_Piece = str | _Content
"""A literal or a content; literals and contents take turns, literals first and last."""


class PromptRenderer:
    """Renders prompts of one model. Thread-safe. Raises `ModelError` where the chat template is not valid."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        try:
            self._template = ChatTemplate(vocabulary.template, vocabulary.bos_text, vocabulary.eos_text)
        except TemplateBroken as error:
            raise ModelError(
                f"The chat template cannot be read: {error}. Give another one with --chat-template."
            ) from None

    def render(self, turns: Sequence[PromptTurn], *, open_last: bool, created_at: str) -> Prompt:
        """The prompt for the assistant's next turn, or for going on with the last one (``open_last``).

        ``created_at`` (RFC 3339) is the time that the template sees. The prompt of a later call begins with
        this one's tokens and those generated from it, as far as the template lets it. Raises `CommandError`
        ``bad_request`` with ``details.field`` "messages" where the template refuses the turns.
        """
        # A turn to be continued goes behind the header the model was given when it began the turn, so the
        # template is asked for that header only.
        closed = turns[:-1] if open_last else turns
        rendering = _Rendering(self._template, self._vocabulary.controls, closed, created_at)
        assembly = _Assembly(self._vocabulary, turns)
        pieces = rendering.pieces()
        if pieces is None:
            assembly.add_mixed(rendering.parts())
        else:
            for piece in pieces:
                assembly.add(piece)
        if open_last:
            assembly.add(_Content(len(closed), turns[-1].content, True))
        return assembly.prompt()


class _Rendering:
    """One set of turns, rendered and taken apart."""

    def __init__(
        self, template: ChatTemplate, controls: Sequence[str], turns: Sequence[PromptTurn], created_at: str
    ) -> None:
        self._template = template
        self._controls = controls
        self._turns = turns
        self._now = datetime.fromisoformat(created_at).astimezone(UTC)
        self._break = _nonce()
        self._mark = _nonce()
        # Every control token's text that a content holds is broken before the template sees it, so that each
        # one in the rendered text is the template's own.
        self._contents = [self._broken(turn.content) for turn in turns]
        self._text = self._render(self._contents)

    def pieces(self) -> list[_Piece] | None:
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

    def _broken(self, content: str) -> str:
        for control in self._controls:
            if len(control) > 1:
                while control in content:  # again where an occurrence overlapped another
                    content = content.replace(control, f"{control[0]}{self._break}{control[1:]}")
        return content

    def _whole(self, text: str) -> str:
        return text.replace(self._break, "")

    def _render(self, contents: Sequence[str]) -> str:
        messages = [
            {"role": turn.role, "content": content} for turn, content in zip(self._turns, contents, strict=False)
        ]
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

    def _align(self, literals: Sequence[str]) -> list[_Piece] | None:
        first, position = literals[0], len(literals[0])
        if not self._text.startswith(first):
            return None
        pieces: list[_Piece] = [first]
        for at in range(1, len(literals), 2):
            literal, last = literals[at + 1], at + 2 == len(literals)
            content = self._content(int(literals[at]), position, literal, last)
            if content is None:
                return None
            pieces += [content[0], literal]
            position = content[1] + len(literal)
        return pieces if position == len(self._text) else None

    def _content(self, index: int, start: int, literal: str, last: bool) -> tuple[_Content, int] | None:
        """The content at ``start`` that ``literal`` follows, and where it ends."""
        content = self._contents[index]
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            end = start + len(form)
            if self._text.startswith(form, start) and self._literal_at(literal, end, last):
                return _Content(index, self._whole(form), True), end
        # The template has changed the content: all up to the next literal is text.
        end = len(self._text) - len(literal) if last else self._text.find(literal, start)
        if end < start or not self._literal_at(literal, end, last) or not (literal or last):
            return None
        changed = self._text[start:end]
        if any(control in changed for control in self._controls):
            return None  # that is no content: the template wrote turns in it
        return _Content(index, self._whole(changed), False), end

    def _literal_at(self, literal: str, position: int, last: bool) -> bool:
        end = position + len(literal)
        return self._text.startswith(literal, position) and (not last or end == len(self._text))

    def _as_generated(self, pieces: Sequence[_Piece], keep: Sequence[str | None]) -> Iterator[_Piece]:
        """Put before generated contents the literal they were generated from, where only white space differs.

        A template whose header ends in "[/INST]" when it asks and in "[/INST] " when it tells would otherwise
        cost the reuse of everything behind it.
        """
        known: dict[str, str] = {}
        for at, piece in enumerate(pieces):
            following = pieces[at + 1] if at + 1 < len(pieces) else None
            if isinstance(piece, str) and isinstance(following, _Content) and self._generated(following):
                if piece not in known:
                    known[piece] = self._asking(piece, following.index, keep)
                yield known[piece]
            else:
                yield piece

    def _generated(self, content: _Content) -> bool:
        return content.whole and self._turns[content.index].tokens is not None

    def _asking(self, telling: str, index: int, keep: Sequence[str | None]) -> str:
        """The last literal of the prompt for turn ``index``; ``telling`` where more than spaces differ."""
        asking = self._literals(keep[:index])[-1]
        return asking if asking.rstrip() == telling.rstrip() else telling


class _Assembly:
    """The prompt so far."""

    def __init__(self, vocabulary: Vocabulary, turns: Sequence[PromptTurn]) -> None:
        self._vocabulary = vocabulary
        self._turns = turns
        self._spans: dict[str, tuple[int, int]] = {}
        self._tokens = [vocabulary.bos] if vocabulary.add_bos and vocabulary.bos is not None else []
        self._own_bos = vocabulary.bos_text if vocabulary.add_bos else ""

    def add(self, piece: _Piece) -> None:
        if isinstance(piece, str):
            self._add_text(self._without_bos(piece), special=True)
            return
        turn, start = self._turns[piece.index], len(self._tokens)
        if piece.whole and turn.tokens is not None:
            self._tokens += turn.tokens
        else:
            self._add_text(piece.text, special=False)
        self._spans.setdefault(turn.id, (start, len(self._tokens)))

    def add_mixed(self, parts: Sequence[str]) -> None:
        """Text in which literals and contents cannot be told apart, and no part of which is a forgery."""
        for part in parts:
            self._add_text(self._without_bos(part), special=True)

    def prompt(self) -> Prompt:
        starts, ends, end = {}, {}, 0
        for turn in self._turns:
            start, end = self._spans.get(turn.id, (end, end))
            starts[turn.id], ends[turn.id] = start, end
        return Prompt(tuple(self._tokens), starts, ends)

    def _without_bos(self, text: str) -> str:
        """What the template begins with, without the token that the prompt has already."""
        return text.removeprefix(self._own_bos) if self._own_bos and len(self._tokens) == 1 else text

    def _add_text(self, text: str, *, special: bool) -> None:
        after = self._tokens[-1] if self._tokens else None
        self._tokens += self._vocabulary.tokenize(text, special=special, after=after)


def _nonce() -> str:
    """Eight characters of Unicode's private use, which no template trims, escapes or changes."""
    return "".join(chr(0xE000 + byte) for byte in secrets.token_bytes(8))
