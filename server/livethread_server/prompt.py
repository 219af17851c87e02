"""Messages → tokens: the chat template is rendered, and what was generated goes in as the ids it was.

`rendering` tells literals (what the template wrote) from contents (what people or the model wrote). Literals are
tokenised with specials, contents without, so no content can forge a turn; generated contents are spliced as
their token ids, so what a live context holds is found again. A prompt must never know stores, engines or hubs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from livethread_server.models import ModelError
from livethread_server.rendering import Content, Controls, Piece, Rendering
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
    one before it; a change of it keeps no more than that. ``dropped`` of the oldest messages were left out for
    want of room. The first ``shared`` tokens are the operator's own, the same for everybody.
    """

    tokens: tuple[int, ...]
    starts: dict[str, int]
    ends: dict[str, int]
    dropped: int = 0
    shared: int = 0


class PromptRenderer:
    """Renders prompts of one model. Thread-safe. Raises `ModelError` where the chat template is not valid."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._controls = Controls(vocabulary.controls)
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
        rendering = self._rendering(closed, created_at)
        assembly = _Assembly(self._vocabulary, turns)
        pieces = rendering.pieces()
        if pieces is None:
            assembly.add_mixed(rendering.parts())
        else:
            for piece in pieces:
                assembly.add(piece)
        if open_last:
            assembly.add(Content(len(closed), turns[-1].content, True))
        return assembly.prompt()

    def text(self, turns: Sequence[PromptTurn], *, open_last: bool, header: bool, created_at: str) -> str:
        """What the template writes of the turns, with the ``header`` of the next one or with the last one open. Raises
        as `render` does.
        """
        messages = [{"role": turn.role, "content": turn.content} for turn in (turns[:-1] if open_last else turns)]
        now = datetime.fromisoformat(created_at).astimezone(UTC)
        written = self._template.render(messages, now, header=header or open_last)
        return written + turns[-1].content if open_last else written

    def _rendering(self, turns: Sequence[PromptTurn], created_at: str) -> Rendering:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        generated = [turn.tokens is not None for turn in turns]
        now = datetime.fromisoformat(created_at).astimezone(UTC)
        return Rendering(self._template, self._controls, messages, generated, now)


class _Assembly:
    """The prompt so far."""

    def __init__(self, vocabulary: Vocabulary, turns: Sequence[PromptTurn]) -> None:
        self._vocabulary = vocabulary
        self._turns = turns
        self._spans: dict[str, tuple[int, int]] = {}
        self._tokens = [vocabulary.bos] if vocabulary.add_bos and vocabulary.bos is not None else []
        self._own_bos = vocabulary.bos_text if vocabulary.add_bos else ""

    def add(self, piece: Piece) -> None:
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
