"""What tasks want of the vocabulary and the chat template, done in OS threads, a few at a time.

It must never know what a task is for, or the engine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.model import Sampling
from livethread.tasks import ChatTurn
from livethread_server.prompter import Prompter
from livethread_server.sampling import MODEL_SAMPLING, resolve
from livethread_server.vocabulary import Vocabulary

AT_ONCE = 2
"""How many texts of tasks are worked on at the same time; threads' prompts need OS threads too."""

NO_INFILL = (
    "This model has no tokens for filling in between two texts. Leave out input_prefix and input_suffix, or serve a "
    "model that has them."
)

T = TypeVar("T")

_PLACES = re.compile(r"\{(query|document)\}")


class Texts:
    """Texts and tokens of the one model that is served."""

    def __init__(self, vocabulary: Vocabulary, prompter: Prompter) -> None:
        self.vocabulary = vocabulary
        self._prompter = prompter
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def context(self) -> int:
        """Tokens of a prompt and its answer."""
        return self._prompter.context

    async def tokens(self, text: str, *, special: bool, beginning: bool) -> tuple[int, ...]:
        """Token ids of a text, behind the model's beginning where that is wanted and it has one."""
        return await self._beside(lambda: self._tokens(text, special, beginning))

    async def text(self, tokens: Sequence[int], *, special: bool) -> str:
        """The text of tokens. `CommandError` where one is not in the vocabulary."""
        self.check(tokens)
        return await self._beside(lambda: self.vocabulary.text(tokens, special=special))

    async def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        """What each token is, control ones too. `CommandError` where one is not in the vocabulary."""
        self.check(tokens)
        return await self._beside(lambda: [self.vocabulary.piece(token, special=True) for token in tokens])

    async def infill(self, before: str | Sequence[int], after: str) -> tuple[int, ...]:
        """What asks for the text between two others, in the order of llama.cpp's own server."""
        around = self.vocabulary.infill
        if around is None:
            raise CommandError(ErrorCode.UNSUPPORTED, NO_INFILL, field="input_suffix")
        text = await self.tokens(before, special=True, beginning=False) if isinstance(before, str) else tuple(before)
        behind = await self.tokens(after, special=True, beginning=False)
        self.check(text, "prompt")
        return (*self._beginning(), around.before, *text, around.behind, *behind, around.between)

    async def embedded(self, text: str) -> tuple[int, ...]:
        """A text to be embedded, with the tokens around it that the model wants."""
        return await self._beside(lambda: tuple(self.vocabulary.embed_tokens(text)))

    async def pair(self, query: str, document: str) -> tuple[int, ...]:
        """A query and a document as a reranker takes them, in the order of llama.cpp's own server."""
        return await self._beside(lambda: tuple(_pair(self.vocabulary, query, document)))

    async def chat(self, turns: Sequence[ChatTurn], *, go_on: bool) -> tuple[int, ...]:
        """A chat's tokens, up to the header of the assistant's next turn, or in the last one to ``go_on`` with it."""
        return await self._beside(lambda: self._prompter.stateless(turns, go_on=go_on))

    async def rendered(self, turns: Sequence[ChatTurn], *, header: bool, go_on: bool) -> str:
        """A chat as text, as its template writes it."""
        return await self._beside(lambda: self._prompter.written(turns, header=header, go_on=go_on))

    async def turn_end(self) -> tuple[int, ...]:
        """What ends an assistant's turn: one token, or none."""
        end = await self._beside(self._prompter.turn_end)
        return () if end is None else (end,)

    async def sampling(self, asked: Sampling) -> tuple[Sampling, Sampling]:
        """What holds, as it is told and as the engine takes it."""
        told = resolve(asked, MODEL_SAMPLING)
        return told, await self._prompter.proved(told)

    def check(self, tokens: Sequence[int], name: str = "tokens") -> None:
        """`CommandError` ``bad_request`` where one of the tokens is not in the vocabulary."""
        size = self.vocabulary.size
        if tokens and max(tokens) >= size:
            raise bad_request(name, f"Token {max(tokens)} is not in the vocabulary. Choose ids from 0 to {size - 1}.")

    def check_prompt(self, tokens: Sequence[int], more: int = 1) -> None:
        """`CommandError` where a prompt is empty, or leaves no room for so many tokens ``more``."""
        self.check(tokens, "prompt")
        if not tokens:
            raise bad_request("prompt", "The prompt is empty, and this model has no token to begin with. Send a text.")
        if len(tokens) + more > self.context:
            raise CommandError(
                ErrorCode.CONTEXT_OVERFLOW,
                f"The prompt has {len(tokens)} tokens and needs {more} more, but the context holds {self.context}. "
                "Shorten it.",
                prompt_tokens=len(tokens),
                context_tokens=self.context,
            )

    def check_embedded(self, texts: Sequence[Sequence[int]], most: int) -> None:
        """`CommandError` where a text is empty, or longer than the ``most`` tokens that the model embeds."""
        for index, tokens in enumerate(texts):
            self.check(tokens, f"content[{index}]")
            if not tokens:
                raise bad_request(f"content[{index}]", f"Text {index} is empty. Leave it out.")
            if len(tokens) > most:
                raise CommandError(
                    ErrorCode.CONTEXT_OVERFLOW,
                    f"Text {index} is too large: it has {len(tokens)} tokens, and the model embeds at most {most}. "
                    "Cut it up.",
                    field=f"content[{index}]",
                    prompt_tokens=len(tokens),
                    context_tokens=most,
                )

    def _beginning(self) -> tuple[int, ...]:
        vocabulary = self.vocabulary
        return (vocabulary.bos,) if vocabulary.add_bos and vocabulary.bos is not None else ()

    def _tokens(self, text: str, special: bool, beginning: bool) -> tuple[int, ...]:
        first = self._beginning() if beginning else ()
        return (*first, *self.vocabulary.tokenize(text, special=special, after=first[0] if first else None))

    async def _beside(self, work: Callable[[], T]) -> T:
        await self._slots.acquire()
        # Whoever asked may go away; an OS thread goes on even so, and has its slot until it is done.
        working = asyncio.create_task(asyncio.to_thread(work))
        working.add_done_callback(self._worked)
        return await asyncio.shield(working)

    def _worked(self, working: asyncio.Task[Any]) -> None:
        self._slots.release()
        if not working.cancelled():
            working.exception()  # or asyncio complains where nobody waits for it any more


def _pair(vocabulary: Vocabulary, query: str, document: str) -> list[int]:
    if vocabulary.rerank_template is not None:
        return _filled(vocabulary, vocabulary.rerank_template, {"query": query, "document": document})
    front = [vocabulary.bos] if vocabulary.add_bos and vocabulary.bos is not None else []
    eos = vocabulary.eos if vocabulary.eos is not None else vocabulary.sep
    end = [eos] if vocabulary.add_eos and eos is not None else []
    middle = [] if vocabulary.sep is None else [vocabulary.sep]
    asked = vocabulary.tokenize(query, special=False)
    return [*front, *asked, *end, *middle, *vocabulary.tokenize(document, special=False), *end]


def _filled(vocabulary: Vocabulary, template: str, words: Mapping[str, str]) -> list[int]:
    """The template's own text with specials, what is put into it without."""
    tokens: list[int] = []
    for index, part in enumerate(_PLACES.split(template)):
        text = words[part] if index % 2 else part
        tokens += vocabulary.tokenize(text, special=not index % 2, after=tokens[-1] if tokens else None)
    return tokens
