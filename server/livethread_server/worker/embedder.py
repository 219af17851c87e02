"""Texts on their way to vectors: tenants take turns, and their askers, and short texts share a batch.

A long text is read in chunks, as prompts are, so that it holds nobody up. This module must never know runs, threads
or pipes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from livethread_server.engine.wire import Embed, Embedded, EmbedEnded
from livethread_server.worker.asker_turns import AskerTurns
from livethread_server.worker.llama import DecodeFailed, LoadFailed, Model, Portion, Rows, VectorContext
from livethread_server.worker.pooling import Pool
from livethread_server.worker.scheduler import LEAST, Costs

Answer = Embedded | EmbedEnded


class _Asked:
    """An `Embed` with the texts that nobody has begun, and how many are not answered."""

    def __init__(self, embed: Embed) -> None:
        self.embed = embed
        self.begun = 0
        self.left = len(embed.texts)

    @property
    def ranks(self) -> bool:
        return self.embed.pooling == "rank"


class _Text:
    """A text that is being read in a sequence."""

    def __init__(self, asked: _Asked, index: int, sequence: int) -> None:
        self.asked = asked
        self.index = index
        self.sequence = sequence
        self.tokens = asked.embed.texts[index]
        self.pool = Pool(asked.embed.pooling)
        self.read = 0

    @property
    def left(self) -> int:
        return len(self.tokens) - self.read


class Embedder:
    """``make`` makes a context: for scores if it is given true, else for vectors; it is called when one is first needed
    and raises `LoadFailed`. Texts have at most ``length`` tokens. ``token_ms`` is what a token costs at first.
    """

    def __init__(self, model: Model, make: Callable[[bool], VectorContext], *, length: int, token_ms: float) -> None:
        self.length = length
        self._model = model
        self._make = make
        self._contexts: dict[bool, VectorContext] = {}
        self._costs = Costs()
        self._costs.saw_chunk(LEAST, 0, LEAST * token_ms)
        self._turns = AskerTurns[_Asked]()
        self._asked: dict[int, _Asked] = {}
        self._half: _Text | None = None
        self._saved_ms = 0.0
        self._answers: list[Answer] = []

    @property
    def busy(self) -> bool:
        """Whether anybody waits for a vector."""
        return bool(self._asked)

    def ask(self, embed: Embed) -> None:
        """Texts have come; they are answered in their order."""
        trouble = self._trouble(embed)
        if trouble is not None or not embed.texts:
            self._answers.append(EmbedEnded(embed.ask, trouble))
            return
        asked = self._asked[embed.ask] = _Asked(embed)
        self._turns.add(embed.tenant, asked)

    def cancel(self, ask: int) -> None:
        """Give up what is left of an `Embed`; one that is over has had its end."""
        if ask in self._asked:
            self._end(EmbedEnded(ask, cancelled=True))

    def advance(self, budget_ms: float) -> bool:
        """Read about as many tokens as take so long; whether any were read. What is too little for a chunk is saved up
        for the next call.
        """
        if not self.busy:
            self._saved_ms = 0.0
            return False
        self._saved_ms += budget_ms
        token_ms = self._costs.of_token(self._half.read if self._half else 0)
        if self._saved_ms < LEAST * token_ms:
            return False
        fits = max(LEAST, int(self._saved_ms / token_ms)) if token_ms else LEAST
        self._saved_ms = 0.0
        self._read(fits)
        return True

    def answers(self) -> list[Answer]:
        """What there is to say since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Free the contexts."""
        for context in self._contexts.values():
            context.close()

    def _trouble(self, embed: Embed) -> str | None:
        """Why these texts cannot be embedded."""
        if embed.pooling == "rank" and self._model.pooling != "rank":
            return "The model has no head that ranks. Serve a reranker, or choose another pooling."
        for index, text in enumerate(embed.texts):
            if not 0 < len(text) <= self.length:
                return f"Text {index} has {len(text)} tokens; send 1 to {self.length}."
            if min(text) < 0 or max(text) >= self._model.vocabulary:
                return f"Text {index} has a token outside the vocabulary; tokens end at {self._model.vocabulary - 1}."
        return None

    def _read(self, fits: int) -> None:
        """One batch of at most so many tokens, but at least one text where those come whole."""
        texts: list[tuple[_Text, int]] = []
        try:
            context = self._context((self._half.asked if self._half else self._turns.first).ranks)
            self._choose(context, min(fits, context.rows), texts)
            before = time.monotonic()
            rows = context.read([_portion(text, count) for text, count in texts])
            ms = (time.monotonic() - before) * 1000
            self._costs.saw_chunk(len(rows), texts[0][0].read, ms)
            self._share_out(context, texts, rows)
        except LoadFailed as error:
            self._fail(set(self._asked), error)
        except DecodeFailed as error:
            for text, _ in texts:
                context.drop(text.sequence)
            self._fail({text.asked.embed.ask for text, _ in texts}, error)

    def _context(self, ranks: bool) -> VectorContext:
        if ranks not in self._contexts:
            self._contexts[ranks] = self._make(ranks)
        return self._contexts[ranks]

    def _choose(self, context: VectorContext, room: int, texts: list[tuple[_Text, int]]) -> None:
        """Which texts are read, and how much of each: the one that is half read, then one of each asker in turn."""
        while room > 0 and len(texts) < context.sequences:
            text = self._half or self._begin(context, room if texts else context.most, texts)
            if text is None:
                return
            count = min(text.left, context.most if context.whole else room)
            self._half = text if count < text.left else None
            texts.append((text, count))
            room -= count

    def _begin(self, context: VectorContext, room: int, texts: list[tuple[_Text, int]]) -> _Text | None:
        """The next text; None where there is none of this kind, or it has no room and must have it."""
        if not self._turns:
            return None
        asked = self._turns.first
        if asked.ranks != (context is self._contexts.get(True)):
            return None
        if context.whole and len(asked.embed.texts[asked.begun]) > room:
            return None
        taken = {text.sequence for text, _ in texts}
        text = _Text(asked, asked.begun, next(free for free in range(context.sequences) if free not in taken))
        asked.begun += 1
        self._turns.take(again=asked.begun < len(asked.embed.texts))
        return text

    def _share_out(self, context: VectorContext, texts: list[tuple[_Text, int]], rows: Rows) -> None:
        """Give every text its rows, and answer those that are read."""
        at = 0
        for text, count in texts:
            text.pool.add(rows[at : at + count])
            at += count
            text.read += count
            if text.left == 0:
                self._answer(text, context)

    def _answer(self, text: _Text, context: VectorContext) -> None:
        ask = text.asked.embed.ask
        ranks = text.asked.ranks
        vectors = np.array([[context.score(text.sequence)]], np.float32) if ranks else text.pool.vectors()
        context.drop(text.sequence)
        self._answers.append(Embedded(ask, text.index, vectors.astype("<f4").tobytes(), len(vectors)))
        text.asked.left -= 1
        if text.asked.left == 0:
            self._end(EmbedEnded(ask))

    def _fail(self, asks: set[int], error: Exception) -> None:
        """The batch is lost with all who were in it, and with the cells of a text that is half read."""
        for ask in asks:
            self._end(EmbedEnded(ask, f"The engine could not embed: {error} Try again."))

    def _end(self, ended: EmbedEnded) -> None:
        asked = self._asked.pop(ended.ask)
        self._answers.append(ended)
        self._turns.remove(asked.embed.tenant, asked)
        if self._half is not None and self._half.asked is asked:
            self._contexts[asked.ranks].drop(self._half.sequence)
            self._half = None


def _portion(text: _Text, count: int) -> Portion:
    return Portion(text.sequence, text.read, text.tokens[text.read : text.read + count])
