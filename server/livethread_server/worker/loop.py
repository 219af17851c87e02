"""The engine's loop: admit → schedule → decode → sample → emit, in the one OS thread that owns the context.

This module must never know pipes, clients or messages: it takes commands from an inbox and hands each
step's outcome to an outbox.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from livethread.model import Reason
from livethread_server.engine.wire import (
    AskStats,
    CancelRun,
    Evict,
    Finished,
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
from livethread_server.worker.cache import WORTH, Place
from livethread_server.worker.chunk import scope_of
from livethread_server.worker.llama import LONGEST_CHUNK, Candidates, Context, DecodeFailed, Logits, NoRoom
from livethread_server.worker.residency import packed
from livethread_server.worker.restore import Fetch
from livethread_server.worker.run import Run
from livethread_server.worker.sampling import NoToken, Sampler, Unusable
from livethread_server.worker.scheduler import ALONE, Chunk, Costs, Waiting, plan
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.tiers import Tiers

Command = Submit | CancelRun | Forget | Ingest | Warm | Evict | Pin | AskStats
Told = Step | Settled | Stats

RESERVED = 2
"""Tokens of a prompt that are always computed: a prompt chunk has two at least (FACTS A9)."""
TRIES = 3
"""How often chunks are looked for again for a run when some turned out to be bad."""


class Inbox(Protocol):
    """Where commands come from."""

    def take(self, seconds: float | None) -> list[tuple[float, Command]] | None:
        """All commands that are there with their times of arrival, None once there will be no more.

        Wait until there is one, it is woken, or so many seconds are over; None waits without end.
        """


class _Asked:
    """A run that waits for a sequence, and maybe for chunks that are being read for it."""

    def __init__(self, arrived_at: float, submit: Submit, fetch: Fetch | None) -> None:
        self.arrived_at = arrived_at
        self.submit = submit
        self.fetch = fetch
        self.tries = 0
        self.looked = fetch is not None

    @property
    def ready(self) -> bool:
        """Whether nothing is being read for it."""
        return self.fetch is None or self.fetch.done


class Loop:
    """Runs on the sequences of one context. ``say`` takes what there is to tell; it must not block."""

    def __init__(
        self,
        context: Context,
        costs: Costs,
        inbox: Inbox,
        say: Callable[[Told], None],
        tiers: Tiers,
        *,
        step_ms: float,
    ) -> None:
        self._context = context
        self._model = context.model
        self._candidates = Candidates(self._model.vocabulary)
        self._costs = costs
        self._inbox = inbox
        self._say = say
        self._step_ms = step_ms
        self._tiers = tiers
        self._residencies = tiers.residencies
        self._slots = tiers.residencies.slots
        self._ahead: Ahead = tiers.ahead
        self._waiting: list[_Asked] = []
        self._refused: list[Output] = []
        self._answers: list[Settled | Stats] = []
        self._steps = 0

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
        self._admit()
        self._gather()
        rows, chunks = self._schedule()
        for chunk in chunks:
            self._ingest(chunk)
        if rows and any(_run(self._slots[chunk.sequence]).completion for chunk in chunks):
            # A first token need not wait for the others' next ones.
            self._emit()
        self._generate(rows)
        if not self._waiting:
            self._ahead.advance(self._ingest_ahead, eager=not any(self._slots.running()))
        self._tidy((time.monotonic() - began) * 1000)
        self._emit()

    def _tidy(self, took_ms: float) -> None:
        """Save KV in what is left of the step, or without hurry where nobody waits for the next one. Who waits for
        chunks alone waits for no saving too.
        """
        running = any(self._slots.running())
        if self._waiting and not running:
            return
        idle = not self._waiting and not running
        self._residencies.tidy(math.inf if idle else max(self._step_ms - took_ms, self._step_ms / 10))
        self._tiers.archive.balance(idle=idle)

    def listen(self) -> bool:
        """Take the commands that are there; False once there will be no more."""
        commands = self._inbox.take(self._patience())
        for arrived_at, command in commands or ():
            self._hear(arrived_at, command)
        return commands is not None

    def _patience(self) -> float | None:
        """Seconds to wait for a command; None where nothing is to be done before one comes."""
        if any(self._slots.running()) or any(asked.ready for asked in self._waiting):
            return 0.0
        if self._waiting:
            return None  # what is read for them wakes the loop
        return 0.0 if self._ahead.ready else self._residencies.patience()

    def _hear(self, arrived_at: float, command: Command) -> None:
        match command:
            case Submit(thread=thread):
                self._waiting.append(_Asked(arrived_at, command, self._adopt(command, self._ahead.drop(thread))))
            case CancelRun(run=run):
                self._cancel(run)
            case Ingest() | Warm():
                self._want(command)
            case Evict(thread=thread):
                self._ahead.drop(thread)
                self._residencies.evict(command)
            case Pin(thread=thread, pinned=pinned):
                self._residencies.pin(thread, pinned)
            case AskStats(ask=ask):
                self._answers.append(Stats(ask, self._stats()))
            case Forget(thread=thread):
                self._ahead.drop(thread)
                self._residencies.forget(thread)

    def _stats(self) -> dict[str, object]:
        return {**self._residencies.stats(), "tokens": dict(self._tiers.tokens)}

    def _want(self, wanted: Ingest | Warm) -> None:
        """Note what is to be made ready, if it can be; a warm that cannot is answered at once."""
        if self._trouble(wanted.tokens) is None:
            self._ahead.want(wanted)
        elif isinstance(wanted, Warm):
            self._residencies.settle(wanted.ask, wanted.thread)

    def _adopt(self, submit: Submit, fetch: Fetch | None) -> Fetch | None:
        """What is being read for the thread already, if it is what the run needs."""
        if fetch and fetch.serves(packed(submit.tokens), scope_of(submit.tenant), _limit(submit)):
            return fetch
        return None

    def _cancel(self, run: str) -> None:
        for asked in [each for each in self._waiting if each.submit.run == run]:
            self._waiting.remove(asked)
            self._refuse(run, "cancelled")
        for slot in self._slots.running():
            if _run(slot).submit.run == run:
                _run(slot).end("cancelled")

    def _refuse(self, run: str, reason: Reason, error: str | None = None) -> None:
        self._refused.append(Output(run, finished=Finished(reason, 0, None, time.monotonic(), error)))

    # Admit

    def _admit(self) -> None:
        """Give sequences to waiting runs, while others run at most one copy of KV in a step. Who waits for
        chunks is overtaken.
        """
        for asked in list(self._waiting):
            if self._trouble(asked.submit.tokens) is not None:
                self._begin(asked, None)
                continue
            chosen = self._slots.choose(asked.submit)
            if chosen is None:
                return
            if self._must_wait(asked, chosen):
                continue
            copied = chosen.source is not None or asked.fetch is not None
            self._begin(asked, chosen)
            if copied and any(self._slots.running()):
                return

    def _must_wait(self, asked: _Asked, chosen: Place) -> bool:
        """Look for chunks that are worth it; whether they are still being read."""
        if asked.fetch and asked.fetch.done and asked.fetch.failed:
            self._tiers.restores.give_back(asked.fetch)
            asked.fetch, asked.looked = None, asked.tries >= TRIES
        if not asked.looked:
            asked.looked, asked.tries = True, asked.tries + 1
            submit = asked.submit
            asked.fetch = self._tiers.restores.begin(
                packed(submit.tokens), scope_of(submit.tenant), _limit(submit), chosen.reuse + WORTH
            )
        return not asked.ready

    def _begin(self, asked: _Asked, chosen: Place | None) -> None:
        self._waiting.remove(asked)
        submit, sampler = asked.submit, None
        try:
            sampler = self._sampler(submit)
            assert chosen is not None
            slot, fetch = self._take(asked, chosen)
        except (Unusable, DecodeFailed) as error:
            if sampler is not None:
                sampler.close()
            self._refuse(submit.run, "error", str(error))
            return
        ram, disk = (fetch.ram, fetch.disk) if fetch else (0, 0)
        slot.eager = 0
        self._slots.mark(slot)
        self._tiers.count(live=slot.in_kv - ram - disk, ram=ram, disk=disk, computed=slot.left)
        slot.run = Run(
            submit,
            sampler,
            reused=slot.in_kv,
            arrived_at=asked.arrived_at,
            at=time.monotonic(),
            ram=ram,
            disk=disk,
        )

    def _take(self, asked: _Asked, chosen: Place) -> tuple[Sequence, Fetch | None]:
        """The run's sequence, and the fetch whose state lies under it, if one was better than what is live."""
        fetch = asked.fetch
        try:
            if fetch and fetch.state is not None and not fetch.failed and fetch.count >= chosen.reuse + WORTH:
                return self._slots.take(asked.submit, Place(chosen.target, fetch.count), fetch.state), fetch
        except DecodeFailed:  # llama.cpp has no room for it, or does not like it: then it is computed
            return self._slots.take(asked.submit, Place(chosen.target, 0)), None
        finally:
            if fetch:
                self._tiers.restores.give_back(fetch)
        return self._slots.take(asked.submit, chosen), None

    def _trouble(self, tokens: tuple[int, ...]) -> str | None:
        """Why these tokens cannot be put into KV."""
        count, length, vocabulary = len(tokens), self._context.length, self._model.vocabulary
        if not 0 < count <= length:
            return f"The prompt has {count} tokens; send 1 to {length}."
        if min(tokens) < 0 or max(tokens) >= vocabulary:
            return f"The prompt holds a token outside the vocabulary; tokens end at {vocabulary - 1}."
        return None

    def _sampler(self, submit: Submit) -> Sampler:
        if trouble := self._trouble(submit.tokens):
            raise Unusable(trouble)
        return Sampler(self._model, self._candidates, submit.sampling, submit.tokens, self._context.length)

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
                waiting.append(Waiting(slot.id, self._until_mark(slot), slot.in_kv, run.served))
            else:
                rows.append(slot)
        return rows, plan(len(rows), waiting, self._costs, step_ms=self._step_ms, longest=LONGEST_CHUNK)

    def _until_mark(self, slot: Sequence) -> int:
        """Prompt tokens to ingest in one go. Where memory cannot be cut, the last two wait until the place before
        them is marked: asking the same again begins there.
        """
        return slot.left if self._model.cuttable or slot.left <= RESERVED + 1 else slot.left - RESERVED

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
        if slot.left == RESERVED:
            self._slots.mark(slot)
        if last:
            self._sample(slot, self._context.logits(-1))
        else:
            _run(slot).progressed(end)

    def _ingest_ahead(self, slot: Sequence, tokens: tuple[int, ...]) -> bool:
        """Put as many of the tokens into a sequence that no run uses as one short step allows."""
        waiting = [Waiting(slot.id, len(tokens), slot.in_kv, 0)]
        rows = sum(1 for _ in self._slots.running())
        step_ms = self._step_ms if rows else self._step_ms / ALONE
        (chunk,) = plan(rows, waiting, self._costs, step_ms=step_ms, longest=LONGEST_CHUNK)
        start, now = slot.in_kv, tokens[: chunk.count]
        ms = self._decode([slot], lambda: self._context.ingest(slot.id, start, now, last=False))
        if ms is None:
            return False
        self._costs.saw_chunk(chunk.count, start, ms)
        slot.tokens += now
        slot.in_kv += chunk.count
        return True

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
        moved = self._residencies.moved()
        if outputs or moved:
            self._say(Step(tuple(outputs), moved))
        answers, self._answers = [*self._residencies.settled(), *self._answers], []
        for answer in answers:
            self._say(answer)


def _limit(submit: Submit) -> int:
    """How many of the prompt's tokens may be reused: the chunk that is left has two (FACTS A9)."""
    return max(0, len(submit.tokens) - RESERVED)


def _run(slot: Sequence) -> Run:
    assert slot.run is not None
    return slot.run
