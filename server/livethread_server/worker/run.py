"""One generation as the worker sees it: what was asked, how far it is, and what it has to say.

This module must never know llama.cpp's context or the pipe.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from livethread.errors import ErrorCode
from livethread.model import Reason
from livethread_server.engine.wire import Delta, Finished, Logprob, Output, Progress, Started, Submit
from livethread_server.worker.text import Piece, Text


class Draws(Protocol):
    """What a run needs of its sampler."""

    def draw(self, logits: Any, known: int | None = None) -> int:
        """Take a token by its row of logits, or the one that is known to have been taken, and remember it."""

    def close(self) -> None:
        """Free what it holds."""


class Run:
    """A run that has its sequence.

    ``reused`` of the prompt's tokens were not computed for it, ``ram`` and ``disk`` of them came from there
    and the rest was live. ``completion`` counts sampled tokens, ``served`` is
    the step in which it last got prompt tokens. The tokens of ``submit.generated`` are the first that it takes;
    about them it says nothing. Those of ``submit.forced`` that are left come behind them, and are told.
    """

    def __init__(
        self,
        submit: Submit,
        sampler: Draws,
        *,
        reused: int,
        arrived_at: float,
        at: float,
        ram: int = 0,
        disk: int = 0,
    ) -> None:
        self.submit = submit
        self.sampler = sampler
        self.text = Text(() if submit.forced else submit.sampling.stop or ())
        self.reused = reused
        self.completion = 0
        self.served = 0
        self.first_at: float | None = None
        self.reason: Reason | None = None
        self._known = deque(submit.generated)
        self._forced = deque(submit.forced[len(submit.generated) :])
        self._most = len(submit.forced) or submit.sampling.max_tokens
        self._told = _Told(len(submit.generated), submit.said)
        self._logprobs: deque[Logprob] = deque()
        self._error: str | None = None
        self._code: ErrorCode | None = None
        self._started: Started | None = Started(
            len(submit.tokens), reused, arrived_at, at, live=reused - ram - disk, ram=ram, disk=disk
        )
        self._progress: Progress | None = None
        self._delta: Delta | None = None

    @property
    def ingesting(self) -> bool:
        """Whether its prompt is not wholly in KV yet."""
        return self.completion == 0

    @property
    def known(self) -> int | None:
        """The token that it took here in an earlier life of the engine, or has to take; None once it is to draw one."""
        for tokens in (self._known, self._forced):
            if tokens:
                return tokens[0]
        return None

    def progressed(self, in_kv: int) -> None:
        """A chunk of the prompt went in, and more is to come."""
        self._progress = Progress(self.reused, in_kv - self.reused, len(self.submit.tokens))

    def took(self, token: int, piece: bytes, at: float, logprob: Logprob | None = None) -> None:
        """A token was taken that does not end the generation by itself; all or none of a run's have a ``logprob``."""
        self._count(at)
        if logprob is not None:
            self._logprobs.append(logprob)
        said = self.text.push(token, piece)
        if self._known:
            self._known.popleft()
            self._told.reach(self.text.seen)
        elif self._forced:
            self._forced.popleft()
        self._say(said)
        if self.text.stopped:
            self.end("stop_string")
        elif self._most is not None and self.completion >= self._most:
            self.end("length")

    def took_end(self, at: float) -> None:
        """An end-of-generation token was drawn: it counts, and has no text."""
        self._count(at)
        self.end("stop")

    def end(self, reason: Reason, error: str | None = None, code: ErrorCode | None = None) -> None:
        """Nothing more will be drawn. The first reason given holds; a cancelled run says nothing more."""
        if self.reason is not None:
            return
        self.reason, self._error, self._code = reason, error, code
        if reason not in ("cancelled", "stop_string"):
            self._say(self.text.flush())
        self.sampler.close()

    def output(self, at: float) -> Output | None:
        """What it has to say since the last call, if anything."""
        finished = None
        if self.reason is not None:
            finished = Finished(self.reason, self.completion, self.first_at, at, self._error, self._code)
        said = Output(self.submit.run, self._started, self._progress, self._delta, finished)
        self._started = self._progress = self._delta = None
        return said if said != Output(self.submit.run) else None

    def _count(self, at: float) -> None:
        self.completion += 1
        if self.first_at is None:
            self.first_at = at

    def _say(self, piece: Piece | None) -> None:
        if piece is None:
            return
        logprobs = self._leaving(len(piece.tokens))
        fresh = self._told.rest(piece)
        if fresh is None:
            return
        before = self._delta or Delta((), "")
        told = logprobs[len(logprobs) - len(fresh.tokens) :] if logprobs else ()
        self._delta = Delta(before.tokens + fresh.tokens, before.text + fresh.text, before.logprobs + told)

    def _leaving(self, count: int) -> tuple[Logprob, ...]:
        """The logprobs of the next tokens whose text is out, where there are any: tokens leave in order."""
        return tuple(self._logprobs.popleft() for _ in range(count)) if self._logprobs else ()


class _Told:
    """The beginning of a run's text that was told by an engine that is gone: so many tokens and characters.

    There may be more characters than those tokens have: text leaves before its token where a stop string may
    begin in it, or half a character.
    """

    def __init__(self, tokens: int, characters: int) -> None:
        self._tokens = tokens
        self._characters = characters
        self._passed_tokens = 0
        self._passed_characters = 0

    def reach(self, characters: int) -> None:
        """At least so many characters were told."""
        self._characters = max(self._characters, characters)

    def rest(self, piece: Piece) -> Piece | None:
        """What of the text's next piece was not told, if anything."""
        tokens = piece.tokens[max(0, self._tokens - self._passed_tokens) :]
        text = piece.text[max(0, self._characters - self._passed_characters) :]
        self._passed_tokens += len(piece.tokens)
        self._passed_characters += len(piece.text)
        return Piece(tokens, text) if tokens or text else None
