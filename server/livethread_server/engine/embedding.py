"""Texts that the engine process turns into vectors, over as many lives of it as that takes.

This module must never know the process, tasks, or what vectors are for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.turns import fits_share
from livethread_server.engine.wire import CancelEmbed, Embed, Embedded, EmbedEnded, Pooling, Ready

Rows = NDArray[np.float32]
Text = tuple[int, ...]

SUSPECT = 2
"""Deaths of the engine with texts of one asker, and none of them answered in between, after which these are asked for
with nothing beside them.
"""


class Neighbours(Protocol):
    """The runs of the same process."""

    @property
    def given(self) -> bool:
        """Whether the process has one."""

    @property
    def isolating(self) -> bool:
        """Whether one is there alone, or waits to be."""


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

    @property
    def suspect(self) -> bool:
        """Whether the engine has died so often with it that nothing should be beside it."""
        return self.deaths >= SUSPECT

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
    gives the process a message; ``runs`` are beside. Assign ``on_room`` to hear that runs may be given which could not
    be before; it has to call `pump`. All methods belong to one event loop.
    """

    def __init__(self, send: Callable[[Embed | CancelEmbed], None], most: int, runs: Neighbours) -> None:
        self.on_room: Callable[[], None] = self.pump
        self._send = send
        self._most = most
        self._runs = runs
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._waiting: dict[int, None] = {}
        self._inside: set[int] = set()
        self._open = False

    @property
    def pending(self) -> bool:
        """Whether the process owes vectors, or the end of those that were given up."""
        return bool(self._inside)

    @property
    def isolating(self) -> bool:
        """Whether an asker's texts are there alone, or wait to be: no run may come beside them, or before."""
        return any(asked.suspect for asked in self._asked.values())

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
        self._waiting[ask] = None
        self.pump()
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
        if isinstance(message, Embedded):
            if asked is not None:
                asked.hear(message)
        else:
            self._inside.discard(message.ask)
            if asked is not None and message.error is not None:
                asked.answers.put_nowait(CommandError(ErrorCode.INTERNAL, message.error))
        self.on_room()

    def opened(self) -> None:
        """There is a process, and it has nothing."""
        self._open = True
        self.pump()

    def died(self, sentence: str) -> None:
        """The process is gone. What it had not answered is asked of the next one; but not for those who were alone
        with it, because it had died with them before.
        """
        self._open = False
        lost = [(ask, self._asked[ask]) for ask in sorted(self._inside) if ask in self._asked]
        self._inside.clear()
        for ask, asked in lost:
            asked.sent = None
            if asked.suspect:
                advice = "It had died with these texts before, and now it had nothing else: ask for something else."
                asked.answers.put_nowait(CommandError(ErrorCode.INTERNAL, f"{sentence} {advice}"))
                del self._asked[ask]
            elif asked.left:
                asked.deaths += 1
                self._waiting[ask] = None

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

    def pump(self) -> None:
        """Give the process what it does not have; of those that it has died with too often, one at a time, when it has
        nothing else. Nobody passes them.
        """
        if not self._open or not self._waiting or self._runs.isolating:
            return
        if not self.isolating:
            for ask in sorted(self._waiting):
                self._give(ask)
        elif not self._inside and not self._runs.given:
            for ask in [ask for ask in sorted(self._waiting) if self._asked[ask].suspect][:1]:
                self._give(ask)

    def _give(self, ask: int) -> None:
        del self._waiting[ask]
        self._inside.add(ask)
        self._send(self._asked[ask].rest(ask))

    def _forget(self, ask: int) -> None:
        asked = self._asked.pop(ask, None)
        self._waiting.pop(ask, None)
        if asked is not None and not asked.left:
            self._inside.discard(ask)
        elif ask in self._inside:
            self._send(CancelEmbed(ask))
        self.on_room()


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
