"""The engine's loop: admit → schedule → decode → sample → emit, in the one OS thread that owns the context.

This module must never know pipes, clients or messages: it takes commands from an inbox and hands each
step's outcome to an outbox.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from livethread_server.engine.wire import (
    AskStats,
    CancelEmbed,
    CancelRun,
    Embed,
    Embedded,
    EmbedEnded,
    Evict,
    Forget,
    Ingest,
    Output,
    Pin,
    Settled,
    Stats,
    Step,
    Submit,
    Warm,
)
from livethread_server.worker.ahead import Ahead
from livethread_server.worker.cache import RESERVED
from livethread_server.worker.decoder import Decoder
from livethread_server.worker.embedder import Embedder
from livethread_server.worker.entrance import Entrance
from livethread_server.worker.llama import LONGEST_CHUNK, Context, DecodeFailed
from livethread_server.worker.scheduler import ALONE, Chunk, Costs, Waiting, plan
from livethread_server.worker.sequence import Sequence, run_of
from livethread_server.worker.step_times import StepTimes
from livethread_server.worker.tiers import Tiers

Command = Submit | CancelRun | Forget | Ingest | Warm | Evict | Pin | AskStats | Embed | CancelEmbed
Told = Step | Settled | Stats | Embedded | EmbedEnded

BEAT = 1.0
"""Seconds after which a loop that has something to do says so, if it has nothing else to say."""


class Inbox(Protocol):
    """Where commands come from."""

    def take(self, seconds: float | None) -> list[tuple[float, Command]] | None:
        """All commands that are there with their times of arrival, None once there will be no more.

        Wait until there is one, it is woken, or so many seconds are over; None waits without end.
        """


class Loop:
    """Runs on the sequences of one context. ``say`` takes what there is to tell; it must not block."""

    def __init__(
        self,
        context: Context,
        costs: Costs,
        inbox: Inbox,
        say: Callable[[Told], None],
        tiers: Tiers,
        embedder: Embedder,
        *,
        step_ms: float,
    ) -> None:
        self._cuttable = context.model.cuttable
        self._costs = costs
        self._inbox = inbox
        self._say = say
        self._step_ms = step_ms
        self._tiers = tiers
        self._residencies = tiers.residencies
        self._slots = tiers.residencies.slots
        self._ahead: Ahead = tiers.ahead
        self._entrance = Entrance(context, tiers)
        self._decoder = Decoder(context, costs, self._slots)
        self._embedder = embedder
        self._asks: set[int] = set()
        self._answers: list[Settled | Stats] = []
        self._steps = 0
        self._times = StepTimes()
        self._told_at = time.monotonic()

    def run(self) -> None:
        """Step until the inbox ends; wait without spinning while there is nothing to do."""
        self._emit()
        while self.listen():
            self.step()

    def step(self) -> None:
        """One step of every run; or, where no run has anything to do, of what is done ahead."""
        self._steps += 1
        self._tiers.files.collect()
        began = time.monotonic()
        self._entrance.admit()
        self._gather()
        rows, chunks = self._schedule()
        threads = [chunk for chunk in chunks if not self._slots[chunk.sequence].side]
        tasks = chunks[len(threads) :]
        self._read(threads, then=bool(tasks or rows))
        self._read(tasks, then=bool(rows))
        self._decoder.generate([slot for slot in rows if slot.going])
        embedded = self._embedder.advance(self._left((time.monotonic() - began) * 1000))
        if self._entrance.empty:
            self._ahead.advance(self._ingest_ahead, eager=not embedded and not any(self._slots.running()))
        took = time.monotonic() - began
        if rows or chunks or embedded:
            self._times.took(took)
        self._tidy(took * 1000)
        self._emit()

    def _left(self, took_ms: float) -> float:
        """Milliseconds of a step for what nobody streams: the rest of it, at least a little; where nobody runs, as many
        as a prompt that is alone gets.
        """
        if self._entrance.empty and not any(self._slots.running()):
            return self._step_ms * ALONE
        return max(self._step_ms - took_ms, self._step_ms / 10)

    def _tidy(self, took_ms: float) -> None:
        """Save KV in what is left of the step, or without hurry where nobody waits for the next one. Who waits for
        chunks alone waits for no saving too.
        """
        running = any(self._slots.running())
        if not self._entrance.empty and not running:
            return
        idle = self._entrance.empty and not running
        self._residencies.tidy(math.inf if idle else max(self._step_ms - took_ms, self._step_ms / 10))
        self._tiers.archive.balance(idle=idle)

    # Hear

    def listen(self) -> bool:
        """Take the commands that are there; False once there will be no more."""
        return self._take(self._patience())

    def _take(self, patience: float | None) -> bool:
        commands = self._inbox.take(patience)
        for arrived_at, command in commands or ():
            self._hear(arrived_at, command)
        return commands is not None

    def _patience(self) -> float | None:
        """Seconds to wait for a command; None where nothing is to be done before one comes."""
        if any(self._slots.running()) or self._entrance.ready or self._embedder.busy:
            return 0.0
        if not self._entrance.empty:
            return BEAT  # what is read for them wakes the loop
        patience = 0.0 if self._ahead.ready else self._residencies.patience()
        if not self._owes:
            return patience
        return BEAT if patience is None else min(patience, BEAT)

    @property
    def _owes(self) -> bool:
        """Whether somebody waits to hear more."""
        busy = not self._entrance.empty or self._embedder.busy
        return bool(self._asks) or busy or any(self._slots.running())

    def _hear(self, arrived_at: float, command: Command) -> None:
        match command:
            case Submit(thread=thread):
                self._entrance.ask(arrived_at, command, self._ahead.hand_over(thread))
            case CancelRun(run=run):
                self._cancel(run)
            case Ingest() | Warm():
                self._want(command)
            case Evict(thread=thread, ask=ask):
                self._asks.add(ask)
                self._ahead.drop(thread)
                self._residencies.evict(command)
            case Pin(thread=thread, pinned=pinned):
                self._residencies.pin(thread, pinned)
            case Embed():
                self._embedder.ask(command)
            case CancelEmbed(ask=ask):
                self._embedder.cancel(ask)
            case AskStats(ask=ask):
                self._answers.append(Stats(ask, self._stats()))
            case Forget(thread=thread):
                self._ahead.drop(thread)
                self._residencies.forget(thread)

    def _stats(self) -> dict[str, object]:
        said = self._residencies.stats()
        tasks = {**said["tasks"], "prompts": dict(self._tiers.task_tokens)}
        return {**said, "tasks": tasks, "tokens": dict(self._tiers.tokens), "steps": self._times.told()}

    def _want(self, wanted: Ingest | Warm) -> None:
        """Note what is to be made ready, if it can be; a warm that cannot is answered at once."""
        if isinstance(wanted, Warm):
            self._asks.add(wanted.ask)
        if self._entrance.trouble(wanted.tokens) is None:
            self._ahead.want(wanted)
        elif isinstance(wanted, Warm):
            self._residencies.settle(wanted.ask, wanted.thread)

    def _cancel(self, run: str) -> None:
        self._entrance.withdraw(run)
        for slot in self._slots.running():
            if run_of(slot).submit.run == run:
                run_of(slot).end("cancelled")

    # Schedule

    def _gather(self) -> None:
        """Bring running sequences side by side, one exchange a step."""
        pair = self._slots.misplaced()
        if pair is None:
            return
        try:
            self._slots.swap(*pair)
        except DecodeFailed as error:
            self._decoder.fail(list(pair), error)

    def _schedule(self) -> tuple[list[Sequence], list[Chunk]]:
        """Who generates, and which chunks of whose prompts go in beside them."""
        rows: list[Sequence] = []
        waiting: list[Waiting] = []
        for slot in self._slots.running():
            if not slot.going:
                continue
            run = run_of(slot)
            if run.ingesting:
                waiting.append(Waiting(slot.id, self._until_mark(slot), slot.in_kv, run.served, run.submit.side))
            else:
                rows.append(slot)
        only_tasks = not self._entrance.urgent and all(slot.side for slot in self._slots.running())
        return rows, plan(
            len(rows), waiting, self._costs, step_ms=self._step_ms, longest=LONGEST_CHUNK, only_tasks=only_tasks
        )

    def _until_mark(self, slot: Sequence) -> int:
        """Prompt tokens to ingest in one go. Where memory cannot be cut, the last two wait until the place before
        them is marked: asking the same again begins there.
        """
        return slot.left if self._cuttable or slot.left <= RESERVED + 1 else slot.left - RESERVED

    # Decode

    def _read(self, chunks: list[Chunk], *, then: bool) -> None:
        """Prompts' chunks. A first token is told at once where something comes ``then``: it need not wait for that."""
        for number, chunk in enumerate(chunks):
            if number and self._stops_for_threads(chunk):
                break
            self._ingest(chunk)
        if then and any(run_of(self._slots[chunk.sequence]).completion for chunk in chunks):
            self._emit()

    def _stops_for_threads(self, chunk: Chunk) -> bool:
        """Whether a task's chunk is left to the next step, because a thread's run has come meanwhile."""
        if not self._slots[chunk.sequence].side:
            return False
        self._take(0)
        return self._entrance.urgent

    def _ingest(self, chunk: Chunk) -> None:
        slot = self._slots[chunk.sequence]
        if not slot.going:
            return
        run, end = run_of(slot), slot.in_kv + chunk.count
        last = end == len(slot.tokens)
        if not self._decoder.ingest(slot, slot.tokens[slot.in_kv : end], last=last):
            return
        run.served = self._steps
        if last:
            return
        if slot.left == RESERVED:
            self._slots.mark(slot)
        run.progressed(end)

    def _ingest_ahead(self, slot: Sequence, tokens: tuple[int, ...]) -> bool:
        """Put as many of the tokens into a sequence that no run uses as one short step allows."""
        waiting = [Waiting(slot.id, len(tokens), slot.in_kv, 0)]
        rows = sum(1 for _ in self._slots.running())
        step_ms = self._step_ms if rows else self._step_ms / ALONE
        (chunk,) = plan(rows, waiting, self._costs, step_ms=step_ms, longest=LONGEST_CHUNK)
        now = tokens[: chunk.count]
        if not self._decoder.ingest(slot, now, last=False):
            return False
        slot.tokens += now
        return True

    # Emit

    def _emit(self) -> None:
        """Say what the runs have to say, and let go of those that are over."""
        outputs = self._entrance.refused()
        for slot in self._slots.running():
            run = run_of(slot)
            output = run.output(time.monotonic())
            if output:
                outputs.append(output)
            if run.reason is not None:
                self._slots.release(slot)
        self._tell(outputs)
        answers, self._answers = [*self._residencies.settled(), *self._answers], []
        for answer in answers:
            self._asks.discard(answer.ask)
            self._say(answer)
        for vector in self._embedder.answers():
            self._say(vector)

    def _tell(self, outputs: list[Output]) -> None:
        moved, now = self._residencies.moved(), time.monotonic()
        if outputs or moved or (self._owes and now - self._told_at >= BEAT):
            self._told_at = now
            self._say(Step(tuple(outputs), moved))
