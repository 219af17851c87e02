"""A run that has not ended: what it was asked, what it has generated, and how it would end.

It knows one run and the transaction that ends it; it must never know the engine, stores or subscribers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from livethread.messages import ErrorBody, RunDelta, RunFinished, RunRecovered, RunSnapshot, RunStarted
from livethread.model import (
    STATE_OF_REASON,
    Message,
    Reason,
    Run,
    RunState,
    Sampling,
    Sources,
    Timings,
    TokenLogprob,
    Usage,
)
from livethread_server.boundaries import Boundaries
from livethread_server.engine.wire import Delta, Finished, Output, Started
from livethread_server.mutation import RunUndo, Undo, undo
from livethread_server.prompt import Prompt
from livethread_server.stamps import seconds_since
from livethread_server.store.base import RunRecord, Turn
from livethread_server.transaction import Transaction

FinalTokens = Callable[[str, tuple[int, ...]], tuple[int, ...] | None]


class Outputs(Protocol):
    """What the engine says about one run, in order, ending with ``finished``."""

    @property
    def position(self) -> int:
        """Runs ahead of it in the engine's queue."""

    def __aiter__(self) -> AsyncIterator[Output]:
        """Iterate over the run's outputs."""


class LiveRun:
    """One run from acceptance to end.

    ``gate`` is shut while a transaction that would end the run is being prepared: nothing more is told of
    the run until it is open again or the run is ``over``.
    ``earlier`` is what was told when it started, where that was before the server died.
    """

    def __init__(self, record: RunRecord, told: Sampling, proved: Sampling, session: str) -> None:
        self.record = record
        self.told_sampling = told
        self.engine_sampling = proved
        self.session = session
        self.ahead = 0
        self.cancel_with_session = False
        self.outputs: Outputs | None = None
        self.over = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.timer: asyncio.TimerHandle | None = None
        self.text = record.text
        self.tokens: list[int] = list(record.tokens)
        self.boundaries = Boundaries()
        self.accepted_at = time.monotonic()
        self.earlier: RunStarted | None = None
        self.started: Started | None = None
        self.dropped = 0
        self.first_at: float | None = None
        self.flushed_at = self.accepted_at

    @classmethod
    def recovered(cls, record: RunRecord, session: str) -> LiveRun:
        """A run that a server left behind when it died, with what was stored of it. Its sampling is still to be
        decided, and its start to be remembered."""
        run = cls(record, Sampling(), Sampling(), session)
        run.accepted_at -= seconds_since(record.accepted_at)
        return run

    def remember_start(self) -> None:
        """Where it had started before the server died, it has. What had happened already counts in its timings as of
        the moment of its acceptance. `msgspec.MsgspecError` where what is stored of it cannot be read."""
        if self.record.started is not None:
            self.earlier = earlier = msgspec.json.decode(self.record.started, type=RunStarted)
            at = self.accepted_at
            self.started = Started(earlier.prompt_tokens, earlier.reused_tokens, at, at)
            self.first_at = at if self.tokens else None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.run.id

    @property
    def message(self) -> str:
        """The id of the message it writes."""
        return self.record.run.message

    @property
    def position(self) -> int:
        """How many runs are ahead of it: of its thread, or in the engine's queue; none of one that has started."""
        if self.started is not None:
            return 0
        return self.ahead if self.outputs is None else self.outputs.position

    @property
    def state(self) -> RunState:
        """Running from the moment that ``run.started`` is told."""
        return "queued" if self.started is None else "running"

    def run(self) -> Run:
        """What the wire shows of it."""
        return msgspec.structs.replace(self.record.run, state=self.state, position=self.position)

    def snapshot(self, told: int = 0) -> RunSnapshot | None:
        """The text so far, for somebody who joins; None while it has not started. Behind token ``told`` only, where it
        is sure which text somebody has who was told so far; else all of it."""
        if self.started is None:
            return None
        held = self.boundaries.characters(told) if told else 0
        start = 0 if held is None else told
        return RunSnapshot(run=self.id, message=self.message, start=start, to=len(self.tokens), text=self.text[held:])

    def submitted(self, prompt: Prompt, outputs: Outputs) -> None:
        """The engine has it. A message that it goes on with has the ids that the prompt gave it."""
        self.outputs, self.dropped = outputs, prompt.dropped
        if self.record.base and self.record.base_tokens is None:
            ids = prompt.tokens[prompt.starts[self.message] : prompt.ends[self.message]]
            self.record = msgspec.structs.replace(self.record, base_tokens=ids)

    def start(self, transaction: Transaction, started: Started, instance: str) -> None:
        """Write into ``transaction`` that the engine began with it, or goes on where it had started before."""
        if self.started is not None:
            self._go_on(transaction)
            return
        self.started = started
        turn = transaction.turn(self.message)
        message = msgspec.structs.replace(turn.message, state="streaming")
        transaction.put(msgspec.structs.replace(turn, message=message))
        event = transaction.tell(
            RunStarted,
            run=self.id,
            message=self.message,
            model=transaction.thread.model,
            instance=instance,
            prompt_tokens=started.prompt,
            reused_tokens=started.reused,
            sources=Sources(started.live, started.ram, started.disk),
            dropped=self.dropped,
            sampling=self.told_sampling,
            by=self.record.run.by,
        )
        self.record = msgspec.structs.replace(self.record, started=msgspec.json.encode(event))
        self.keep(transaction, None)

    @property
    def wants_logprobs(self) -> bool:
        """Whether its sampling asks for them."""
        return self.told_sampling.logprobs is not None

    def extend(self, delta: Delta, logprobs: tuple[TokenLogprob, ...] | UnsetType = UNSET) -> RunDelta:
        """Take over what the engine generated; the event that tells it."""
        start = len(self.tokens)
        self.tokens.extend(delta.tokens)
        self.text += delta.text
        self.boundaries.add(len(self.tokens), len(self.text))
        if self.first_at is None:
            self.first_at = time.monotonic()
        return RunDelta(
            thread=self.record.run.thread,
            run=self.id,
            start=start,
            to=len(self.tokens),
            text=delta.text,
            logprobs=logprobs,
        )

    def finish(
        self,
        transaction: Transaction,
        reason: Reason,
        final_tokens: FinalTokens,
        finished: Finished | None = None,
        error: ErrorBody | None = None,
    ) -> None:
        """End the run in ``transaction``: its message, its record, ``run.finished``, and the old message put
        back where a regeneration brought no text."""
        turn = transaction.turn(self.message)
        message = self._ended(turn.message, reason, finished)
        tokens = final_tokens(message.content, (*(self.record.base_tokens or ()), *self.tokens))
        if self.record.base and self.record.base_tokens is None:
            tokens = None
        transaction.put(Turn(turn.position, message, tokens))
        self.keep(transaction, reason)
        transaction.tell(
            RunFinished,
            run=self.id,
            reason=reason,
            message=message,
            usage=message.usage,
            timings=message.timings,
            error=UNSET if error is None else error,
        )
        if self.record.run.mode == "regenerate" and not self.text:
            self._take_back(transaction, self._undo().placement)

    def roll_back(self, transaction: Transaction) -> None:
        """Undo what the run's ``generate`` put in, after it was finished in the same transaction."""
        self._take_back(transaction, self._undo().all)

    def keep(self, transaction: Transaction, reason: Reason | None) -> None:
        """Keep the run as it now is; with ``reason`` as it is at its end."""
        run = self.run()
        if reason is not None:
            run = msgspec.structs.replace(run, state="finished", reason=reason, position=0)
        transaction.keep(msgspec.structs.replace(self.record, run=run, text=self.text, tokens=tuple(self.tokens)))

    def _go_on(self, transaction: Transaction) -> None:
        transaction.tell(
            RunRecovered,
            run=self.id,
            message=self.message,
            to=len(self.tokens),
            text=self.text,
            content=self.record.base + self.text,
        )
        # Of what was told before the server died nobody knows how far it went.
        self.boundaries = Boundaries(len(self.tokens), len(self.text))

    def _undo(self) -> RunUndo:
        return msgspec.json.decode(self.record.undo, type=RunUndo)

    def _take_back(self, transaction: Transaction, plan: Undo) -> None:
        mutation = undo(transaction.turns, plan)
        if mutation.ops:
            transaction.mutate(mutation, self.record.run.by)

    def _ended(self, message: Message, reason: Reason, finished: Finished | None) -> Message:
        return msgspec.structs.replace(
            message,
            content=self.record.base + self.text,
            state=STATE_OF_REASON[reason],
            reason=reason,
            usage=self._usage(finished),
            timings=self._timings(finished),
        )

    def _usage(self, finished: Finished | None) -> Usage:
        return Usage(
            prompt_tokens=self.started.prompt if self.started else 0,
            completion_tokens=max(finished.completion if finished else 0, len(self.tokens)),
            reused_tokens=self.started.reused if self.started else 0,
        )

    def _timings(self, finished: Finished | None) -> Timings:
        end = finished.at if finished else time.monotonic()
        start = self.started.at if self.started else end
        firsts = (self.first_at, finished.first_at if finished else None)
        first = min((at for at in firsts if at is not None), default=end)
        return Timings(
            queue_ms=_milliseconds(self.accepted_at, start),
            prompt_ms=_milliseconds(start, first),
            first_token_ms=_milliseconds(self.accepted_at, first),
            generate_ms=_milliseconds(first, end),
        )


def _milliseconds(start: float, end: float) -> float:
    return round(max(0.0, end - start) * 1000, 3)
