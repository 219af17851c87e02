"""From a thread's turns and settings to what the engine takes: a prompt that fits, sampling that is proved.

Here the service meets `prompt` and the grammar check; slow work leaves the event loop. It must never know
runs, stores or subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling, Thread, TokenLogprob
from livethread.tasks import ChatTurn
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.wire import Delta
from livethread_server.logprobs import token_logprobs
from livethread_server.overflow import Cuts, fit
from livethread_server.prompt import Prompt, PromptRenderer, PromptTurn
from livethread_server.sampling import MODEL_SAMPLING, check, resolve
from livethread_server.stamps import now
from livethread_server.store.base import Turn
from livethread_server.vocabulary import Vocabulary

LEFT_OUT = ("cancelled", "interrupted", "failed")
"""States whose messages stay out of prompts when they are empty."""


DRAFT = ""
"""The id of a message that is being typed: one that no message can have."""
SAID = "livethread"
"""What a turn says that is rendered for what the template writes around it."""
UNSETTLED = 2
"""How many of a draft's last tokens may still change with what is typed next."""


class Ahead(Struct, frozen=True):
    """What the model can read before it is asked: ``tokens`` that every next prompt begins with."""

    tokens: tuple[int, ...]
    shared: int


class Prompter:
    """Prompts and sampling for the one model this server serves as ``model``.

    ``system_prompt`` is the operator's; the tokens of a prompt that begins with it are shared up to its end.
    """

    def __init__(
        self, model: str, vocabulary: Vocabulary, grammars: GrammarCheck, context: int, system_prompt: str = ""
    ) -> None:
        self.model = model
        self.context = context
        self.system_prompt = system_prompt
        self._cuts = Cuts()
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
        return told, await self.proved(told)

    async def proved(self, told: Sampling) -> Sampling:
        """What is told as the engine takes it."""
        self.check(told)
        if told.grammar is None and told.json_schema is None:
            return told
        gbnf = await self._grammars.compile(grammar=told.grammar, json_schema=told.json_schema)
        return msgspec.structs.replace(told, grammar=gbnf, json_schema=None)

    async def prompt(self, thread: Thread, turns: Sequence[Turn], message: str, *, go_on: bool) -> Prompt:
        """The prompt of the run that writes ``message``: everything before it, and it too to ``go_on``.

        `CommandError` ``context_overflow`` with the numbers, or ``bad_request`` with the template's words.
        """
        return await self._render(thread, _before(turns, message, go_on), go_on)

    async def ahead(self, thread: Thread, turns: Sequence[Turn], draft: str | None = None) -> Ahead:
        """What the thread's next prompt will begin with, as far as it is known; with a ``draft`` of the next
        user's message, as far as that is sure to stay. Raises as `prompt` does."""
        parts = _before(turns, None, False)
        if draft is not None:
            prompt = await self._render(thread, [*parts, PromptTurn(DRAFT, "user", draft, None)], False)
            stop = max(prompt.starts[DRAFT], prompt.ends[DRAFT] - UNSETTLED)
        elif not parts:
            return Ahead((), 0)
        else:
            prompt = await self._render(thread, parts, False)
            # Behind an assistant's or a system message nobody knows yet who speaks next.
            asked = parts[-1].role in ("user", "tool")
            stop = len(prompt.tokens) if asked else prompt.ends[parts[-1].id]
        return Ahead(prompt.tokens[:stop], min(prompt.shared, stop))

    def stateless(self, turns: Sequence[ChatTurn], *, go_on: bool) -> tuple[int, ...]:
        """The tokens of a chat that is no thread's, for the assistant's next turn, or to ``go_on`` with the last one.
        It takes its time: call it in an OS thread. `CommandError` with the template's words; the length is not checked.
        """
        return self._renderer.render(_chat(turns), open_last=go_on, created_at=now()).tokens

    def written(self, turns: Sequence[ChatTurn], *, go_on: bool, header: bool) -> str:
        """The same as the text that the template writes, without the ``header`` of the next turn where it is not
        wanted."""
        return self._renderer.text(_chat(turns), open_last=go_on, header=header, created_at=now())

    def turn_end(self) -> int | None:
        """The token with which the template, and so the model, ends an assistant's turn; where the template has none of
        the vocabulary's ends there, the end of a text. None where the vocabulary has none either.
        """
        turns = [PromptTurn("0", "user", SAID, None), PromptTurn("1", "assistant", SAID, None)]
        written = self._renderer.text(turns, open_last=False, header=False, created_at=now())
        behind = self._vocabulary.tokenize(written.rpartition(SAID)[2], special=True)
        return next((token for token in behind if token in self._vocabulary.ends), self._vocabulary.eos)

    async def _render(self, thread: Thread, parts: Sequence[PromptTurn], go_on: bool) -> Prompt:
        render = partial(self._renderer.render, open_last=go_on, created_at=thread.created_at)
        if thread.overflow == "drop_oldest":
            cut, settled = self._cuts.get(thread.id), len(parts) - go_on
            prompt, cut = await asyncio.to_thread(fit, parts, render, self.context, cut, settled=settled)
            if not any(part.id == DRAFT for part in parts[-1:]):
                self._cuts.put(thread.id, cut)
        else:
            prompt = await asyncio.to_thread(render, parts)
        self._check_length(prompt)
        return msgspec.structs.replace(prompt, shared=self._shared(parts, prompt))

    def _shared(self, parts: Sequence[PromptTurn], prompt: Prompt) -> int:
        """How many of the first tokens say nothing but what the template and the operator's prompt say."""
        if not self.system_prompt or not parts:
            return 0
        if (parts[0].role, parts[0].content) != ("system", self.system_prompt):
            return 0
        others = [prompt.starts[part.id] for part in parts[1:] if part.id in prompt.starts]
        return min([prompt.ends[parts[0].id], *others])

    def _check_length(self, prompt: Prompt) -> None:
        if len(prompt.tokens) >= self.context:
            raise CommandError(
                ErrorCode.CONTEXT_OVERFLOW,
                f"The prompt has {len(prompt.tokens)} tokens, but the context holds {self.context} and must leave "
                "room for an answer. Shorten or delete messages.",
                prompt_tokens=len(prompt.tokens),
                context_tokens=self.context,
            )

    def logprobs(self, delta: Delta) -> tuple[TokenLogprob, ...]:
        """What is told of a delta's tokens where their logprobs were asked for."""
        return token_logprobs(self._vocabulary, delta)

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


def _chat(turns: Sequence[ChatTurn]) -> list[PromptTurn]:
    return [PromptTurn(str(index), turn.role, turn.content, None) for index, turn in enumerate(turns)]


def _before(turns: Sequence[Turn], message: str | None, go_on: bool) -> list[PromptTurn]:
    """The messages up to ``message``, with it where the prompt is to ``go_on`` with it; all of them for None."""
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
