"""Texts that the engine process turns into vectors, over as many lives of it as that takes.

This module must never know the process, tasks, or what vectors are for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.turns import fits_share
from livethread_server.engine.wire import CancelEmbed, Embed, Embedded, EmbedEnded, Pooling, Ready

Rows = NDArray[np.float32]
Text = tuple[int, ...]

DEATHS = 2
"""Deaths of the engine with texts of one asker, and none of them answered in between, that make us give them up."""


class _Asked:
    """What one asker wants. ``left`` are the places of the texts that are not answered, ``sent`` those that the process
    has, by their places in what it was given; None where it has none.
    """

    def __init__(self, texts: Sequence[Text], pooling: Pooling, tenant: str) -> None:
        self.tenant = tenant
        self.texts = texts
        self.pooling = pooling
        self.weight = _weight(texts, pooling)
        self.left = dict.fromkeys(range(len(texts)))
        self.sent: tuple[int, ...] | None = None
        self.deaths = 0
        self.answers: asyncio.Queue[tuple[int, Rows] | CommandError] = asyncio.Queue()

    def rest(self, ask: int) -> Embed:
        """What to ask of the process now."""
        self.sent = tuple(self.left)
        texts = tuple(self.texts[index] for index in self.sent)
        return Embed(ask=ask, texts=texts, pooling=self.pooling, tenant=self.tenant)

    def hear(self, embedded: Embedded) -> None:
        """A text is answered."""
        assert self.sent is not None
        index = self.sent[embedded.index]
        del self.left[index]
        self.deaths = 0
        rows = np.frombuffer(embedded.vector, "<f4").reshape(embedded.rows, -1)
        self.answers.put_nowait((index, rows))


class Embeddings:
    """At most ``most`` vectors of a tenant are asked for at once, of all together less than twice as many. ``send``
    gives the process a message. All methods belong to one event loop.
    """

    def __init__(self, send: Callable[[Embed | CancelEmbed], None], most: int) -> None:
        self._send = send
        self._most = most
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._open = False

    @property
    def pending(self) -> bool:
        """Whether the process owes vectors."""
        return any(asked.sent is not None for asked in self._asked.values())

    async def vectors(
        self, texts: Sequence[Text], pooling: Pooling, ready: Ready, tenant: str = ""
    ) -> AsyncGenerator[tuple[int, Rows], None]:
        """Each text's place and its rows (1, dimensions), in order; for ``none`` (tokens, dimensions), for ``rank`` the
        score (1, 1). Close it to have the rest given up. Raises `CommandError` at its first item: ``bad_request``,
        ``context_overflow``, ``too_large``, ``unsupported`` or ``queue_full``; later ``internal`` or what the engine's
        trouble is.
        """
        _check(texts, pooling, ready)
        asked = _Asked(texts, pooling, tenant)
        self._admit(asked)
        ask = next(self._numbers)
        self._asked[ask] = asked
        self._pump()
        try:
            for _ in texts:
                answer = await asked.answers.get()
                if isinstance(answer, CommandError):
                    raise answer
                yield answer
        finally:
            self._forget(ask)

    def heard(self, message: Embedded | EmbedEnded) -> None:
        """The process has answered; what nobody waits for any more is dropped."""
        asked = self._asked.get(message.ask)
        if asked is None:
            return
        if isinstance(message, Embedded):
            asked.hear(message)
            self._pump()
        elif message.error is not None:
            asked.answers.put_nowait(CommandError(ErrorCode.INTERNAL, message.error))

    def opened(self) -> None:
        """There is a process, and it has nothing."""
        self._open = True
        self._pump()

    def died(self, sentence: str) -> None:
        """The process is gone. What it had not answered is asked of the next one."""
        self._open = False
        for asked in self._asked.values():
            asked.deaths += asked.sent is not None
            asked.sent = None
            if asked.deaths >= DEATHS:
                advice = "It had died with these texts before: ask for something else."
                asked.answers.put_nowait(CommandError(ErrorCode.INTERNAL, f"{sentence} {advice}"))

    def end_all(self, sentence: str, code: ErrorCode) -> None:
        """Nothing more will be answered."""
        for asked in self._asked.values():
            asked.answers.put_nowait(CommandError(code, sentence))

    def _admit(self, asked: _Asked) -> None:
        weight, others = asked.weight, self._asked.values()
        taken = sum(other.weight for other in others)
        mine = sum(other.weight for other in others if other.tenant == asked.tenant)
        if weight > self._most:
            raise CommandError(
                ErrorCode.TOO_LARGE,
                f"{weight} vectors are more than the {self._most} that may be asked for at once. Send fewer texts.",
                queued_vectors=self._most,
            )
        if not fits_share(mine + weight, taken + weight, self._most):
            raise CommandError(
                ErrorCode.QUEUE_FULL,
                f"{taken} vectors are being waited for, and {weight} more would pass your limit. Try again when some "
                "have come.",
                queued_vectors=self._most,
            )

    def _pump(self) -> None:
        """Give the process what it does not have; of those that it died with, one at a time."""
        if not self._open:
            return
        suspected = any(asked.deaths and asked.sent is not None for asked in self._asked.values())
        for ask, asked in self._asked.items():
            if asked.sent is not None or asked.deaths >= DEATHS or (asked.deaths and suspected):
                continue
            suspected = suspected or asked.deaths > 0
            self._send(asked.rest(ask))

    def _forget(self, ask: int) -> None:
        asked = self._asked.pop(ask)
        if asked.left and asked.sent is not None:
            self._send(CancelEmbed(ask))
        self._pump()


def _weight(texts: Sequence[Text], pooling: Pooling) -> int:
    """How many vectors these texts become."""
    return sum(map(len, texts)) if pooling == "none" else len(texts)


def _check(texts: Sequence[Text], pooling: Pooling, ready: Ready) -> None:
    """`CommandError` where the model cannot embed these texts."""
    if not ready.dimensions:
        raise CommandError(ErrorCode.UNSUPPORTED, "The model has no vectors of texts. Serve one that has.")
    if pooling == "rank" and not ready.ranks:
        raise CommandError(
            ErrorCode.UNSUPPORTED, "The model has no head that ranks. Serve a reranker, or choose another pooling."
        )
    for index, text in enumerate(texts):
        _check_text(index, text, ready)


def _check_text(index: int, text: Text, ready: Ready) -> None:
    if not text:
        raise CommandError(ErrorCode.BAD_REQUEST, f"Text {index} has no tokens. Send at least one.")
    if len(text) > ready.embed_tokens:
        raise CommandError(
            ErrorCode.CONTEXT_OVERFLOW,
            f"Text {index} has {len(text)} tokens; the model embeds {ready.embed_tokens} at most. Send it in parts.",
            context_tokens=ready.embed_tokens,
        )
    if min(text) < 0 or max(text) >= ready.vocabulary:
        raise CommandError(
            ErrorCode.BAD_REQUEST,
            f"Text {index} has a token outside the vocabulary; tokens end at {ready.vocabulary - 1}.",
        )
