"""The engine's loop: admit → schedule → decode → sample → emit, in the one OS thread that owns the context.

This module must never know pipes, clients or messages: it takes commands from an inbox and hands each
step's outcome to an outbox.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from livethread.model import Reason
from livethread_server.engine.wire import CancelRun, Finished, Forget, Output, Step, Submit
from livethread_server.worker.llama import LONGEST_CHUNK, Candidates, Context, DecodeFailed, Logits, NoRoom
from livethread_server.worker.run import Run
from livethread_server.worker.sampling import NoToken, Sampler, Unusable
from livethread_server.worker.scheduler import Chunk, Costs, Waiting, plan
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.slots import Slots

Command = Submit | CancelRun | Forget


class Inbox(Protocol):
    """Where commands come from."""

    def take(self, *, wait: bool) -> list[tuple[float, Command]] | None:
        """All commands that are there with their times of arrival, None once there will be no more.

        ``wait`` until there is one.
        """


class Loop:
    """Runs on the sequences of one context. ``say`` takes each step's outcome; it must not block."""

    def __init__(
        self, context: Context, costs: Costs, inbox: Inbox, say: Callable[[Step], None], *, step_ms: float
    ) -> None:
        self._context = context
        self._model = context.model
        self._candidates = Candidates(self._model.vocabulary)
        self._costs = costs
        self._inbox = inbox
        self._say = say
        self._step_ms = step_ms
        self._slots = Slots(context)
        self._waiting: deque[tuple[float, Submit]] = deque()
        self._refused: list[Output] = []
        self._steps = 0

    def run(self) -> None:
        """Step until the inbox ends; wait without spinning while there is nothing to do."""
        while self.listen():
            self.step()

    def step(self) -> None:
        """One step of every run."""
        self._steps += 1
        self._admit()
        self._gather()
        rows, chunks = self._schedule()
        for chunk in chunks:
            self._ingest(chunk)
        if rows and any(_run(self._slots[chunk.sequence]).completion for chunk in chunks):
            # A first token need not wait for the others' next ones.
            self._emit()
        self._generate(rows)
        self._emit()

    def listen(self) -> bool:
        """Take the commands that are there; False once there will be no more."""
        busy = bool(self._waiting) or any(self._slots.running())
        commands = self._inbox.take(wait=not busy)
        for arrived_at, command in commands or ():
            match command:
                case Submit():
                    self._waiting.append((arrived_at, command))
                case CancelRun(run=run):
                    self._cancel(run)
                case Forget(thread=thread):
                    self._slots.forget(thread)
        return commands is not None

    def _cancel(self, run: str) -> None:
        for waiting in [each for each in self._waiting if each[1].run == run]:
            self._waiting.remove(waiting)
            self._refuse(run, "cancelled")
        for slot in self._slots.running():
            if _run(slot).submit.run == run:
                _run(slot).end("cancelled")

    def _refuse(self, run: str, reason: Reason, error: str | None = None) -> None:
        self._refused.append(Output(run, finished=Finished(reason, 0, None, time.monotonic(), error)))

    # Admit

    def _admit(self) -> None:
        """Give sequences to waiting runs, while others run at most one copy of KV in a step."""
        copied = False
        while self._waiting and not copied:
            arrived_at, submit = self._waiting[0]
            chosen = self._slots.choose(submit)
            if chosen is None:
                return
            self._waiting.popleft()
            copied = chosen.source is not None and any(self._slots.running())
            try:
                sampler = self._sampler(submit)
                slot = self._slots.take(submit, chosen)
            except (Unusable, DecodeFailed) as error:
                self._refuse(submit.run, "error", str(error))
            else:
                at = time.monotonic()
                slot.run = Run(submit, sampler, reused=chosen.reuse, arrived_at=arrived_at, at=at)

    def _sampler(self, submit: Submit) -> Sampler:
        count, length, vocabulary = len(submit.tokens), self._context.length, self._model.vocabulary
        if not 0 < count <= length:
            raise Unusable(f"The prompt has {count} tokens; send 1 to {length}.")
        if min(submit.tokens) < 0 or max(submit.tokens) >= vocabulary:
            raise Unusable(f"The prompt holds a token outside the vocabulary; tokens end at {vocabulary - 1}.")
        return Sampler(self._model, self._candidates, submit.sampling, submit.tokens, length)

    # Schedule

    def _gather(self) -> None:
        """Bring running sequences side by side, one exchange a step."""
        pair = self._slots.misplaced()
        if pair is None:
            return
        try:
            self._slots.swap(*pair)
        except DecodeFailed as error:
            self._fail(list(pair), error)

    def _schedule(self) -> tuple[list[Sequence], list[Chunk]]:
        """Who generates, and which chunks of whose prompts go in beside them."""
        rows: list[Sequence] = []
        waiting: list[Waiting] = []
        for slot in self._slots.running():
            run = _run(slot)
            if run.reason is not None:
                continue
            if run.ingesting:
                waiting.append(Waiting(slot.id, slot.left, slot.in_kv, run.served))
            else:
                rows.append(slot)
        return rows, plan(len(rows), waiting, self._costs, step_ms=self._step_ms, longest=LONGEST_CHUNK)

    # Decode and sample

    def _ingest(self, chunk: Chunk) -> None:
        slot = self._slots[chunk.sequence]
        start, end = slot.in_kv, slot.in_kv + chunk.count
        tokens, last = slot.tokens[start:end], end == len(slot.tokens)
        ms = self._decode([slot], lambda: self._context.ingest(slot.id, start, tokens, last=last))
        if ms is None:
            return
        self._costs.saw_chunk(chunk.count, start, ms)
        slot.in_kv, _run(slot).served = end, self._steps
        if last:
            self._sample(slot, self._context.logits(-1))
        else:
            _run(slot).progressed(end)

    def _generate(self, slots: list[Sequence]) -> None:
        if not slots:
            return
        rows = [(slot.id, slot.in_kv, slot.tokens[-1]) for slot in slots]
        ms = self._decode(slots, lambda: self._context.generate(rows))
        if ms is None:
            return
        self._costs.saw_rows(len(rows), ms)
        for row, slot in enumerate(slots):
            slot.in_kv += 1
            self._sample(slot, self._context.logits(row))

    def _decode(self, slots: list[Sequence], call: Callable[[], None]) -> float | None:
        """How many milliseconds the call took; None where it failed and with it these runs.

        Idle sequences are given up while cells are short (FACTS A18).
        """
        while True:
            before = time.monotonic()
            try:
                call()
            except NoRoom as error:
                if not self._slots.give_up_one():
                    self._fail(slots, error)
                    return None
            except DecodeFailed as error:
                self._fail(slots, error)
                return None
            else:
                return (time.monotonic() - before) * 1000

    def _fail(self, slots: list[Sequence], error: Exception) -> None:
        """End the runs of these sequences, whose cells are not to be trusted."""
        for slot in slots:
            self._slots.distrust(slot)
            if slot.run is not None:
                slot.run.end("error", f"The engine could not go on: {error} Try again.")

    def _sample(self, slot: Sequence, logits: Logits) -> None:
        """Draw the run's next token, and end the run where that is its last."""
        run = _run(slot)
        try:
            token = run.sampler.draw(logits)
        except NoToken as error:
            run.end("error", str(error))
            return
        if self._model.is_end(token):
            run.took_end(time.monotonic())
            return
        slot.tokens.append(token)
        run.took(token, self._model.piece(token), time.monotonic())
        if len(slot.tokens) >= self._context.length:
            run.end("context")

    # Emit

    def _emit(self) -> None:
        """Say what the runs have to say, and let go of those that are over."""
        outputs, self._refused = self._refused, []
        for slot in self._slots.running():
            run = _run(slot)
            output = run.output(time.monotonic())
            if output:
                outputs.append(output)
            if run.reason is not None:
                self._slots.release(slot)
        moved = self._slots.moved()
        if outputs or moved:
            self._say(Step(tuple(outputs), moved))


def _run(slot: Sequence) -> Run:
    assert slot.run is not None
    return slot.run
