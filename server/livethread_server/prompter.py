"""From a thread's turns and settings to what the engine takes: a prompt that fits, sampling that is proved.

Here the service meets `prompt` and the grammar check; slow work leaves the event loop. It must never know
runs, stores or subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling, Thread
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.prompt import Prompt, PromptRenderer, PromptTurn
from livethread_server.sampling import MODEL_SAMPLING, check, resolve
from livethread_server.store.base import Turn
from livethread_server.vocabulary import Vocabulary

LEFT_OUT = ("cancelled", "interrupted", "failed")
"""States whose messages stay out of prompts when they are empty."""


class Prompter:
    """Prompts and sampling for the one model this server serves as ``model``."""

    def __init__(self, model: str, vocabulary: Vocabulary, grammars: GrammarCheck, context: int) -> None:
        self.model = model
        self.context = context
        self._vocabulary = vocabulary
        self._renderer = PromptRenderer(vocabulary)
        self._grammars = grammars

    def check_model(self, model: str) -> None:
        """`CommandError` ``bad_request`` where ``model`` is not the one served."""
        if model != self.model:
            raise CommandError(
                ErrorCode.BAD_REQUEST,
                f"Model {model!r} is not served here. Choose one of: {self.model}.",
                field="model",
            )

    def check(self, sampling: Sampling) -> None:
        """Refuse sampling that could never be used."""
        check(sampling, vocabulary=self._vocabulary.size, context=self.context)

    async def sampling(self, thread: Thread, asked: Sampling | None) -> tuple[Sampling, Sampling]:
        """What holds for a run, as it is told, and the same as the engine takes it: with a proved GBNF."""
        told = resolve(asked, thread.sampling, MODEL_SAMPLING)
        self.check(told)
        if told.grammar is None and told.json_schema is None:
            return told, told
        gbnf = await self._grammars.compile(grammar=told.grammar, json_schema=told.json_schema)
        return told, msgspec.structs.replace(told, grammar=gbnf, json_schema=None)

    async def prompt(self, thread: Thread, turns: Sequence[Turn], message: str, *, go_on: bool) -> Prompt:
        """The prompt of the run that writes ``message``: everything before it, and it too to ``go_on``.

        `CommandError` ``context_overflow`` with the numbers, or ``bad_request`` with the template's words.
        """
        parts = _before(turns, message, go_on)
        prompt = await asyncio.to_thread(self._renderer.render, parts, open_last=go_on, created_at=thread.created_at)
        if len(prompt.tokens) >= self.context:
            raise CommandError(
                ErrorCode.CONTEXT_OVERFLOW,
                f"The prompt has {len(prompt.tokens)} tokens, but the context holds {self.context} and must leave "
                "room for an answer. Shorten or delete messages.",
                prompt_tokens=len(prompt.tokens),
                context_tokens=self.context,
            )
        return prompt

    def final_tokens(self, content: str, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
        """The ids to splice for a generated ``content``: ``tokens``, and the ids of text that a stop string
        left of a token. None where they do not spell the content."""
        spelt = self._vocabulary.text(tokens)
        if spelt == content:
            return tokens
        if not content.startswith(spelt):
            return None
        rest = self._vocabulary.tokenize(content[len(spelt) :], special=False, after=tokens[-1] if tokens else None)
        return (*tokens, *rest)


def _before(turns: Sequence[Turn], message: str, go_on: bool) -> list[PromptTurn]:
    parts = []
    for turn in turns:
        last = turn.message.id == message
        if last and not go_on:
            break
        if last or turn.message.content or turn.message.state not in LEFT_OUT:
            parts.append(PromptTurn(turn.message.id, turn.message.role, turn.message.content, turn.tokens))
        if last:
            break
    return parts
