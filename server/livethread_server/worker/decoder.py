"""Tokens through the model: chunks of prompts into KV, a row each of runs that generate, and their next tokens.

This module must never know which of them a step should hold, or where KV goes afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from livethread_server.worker.llama import Context, DecodeFailed, Logits, NoRoom
from livethread_server.worker.logprobs import logprob
from livethread_server.worker.sampling import NoToken
from livethread_server.worker.scheduler import Costs
from livethread_server.worker.sequence import Sequence, run_of
from livethread_server.worker.slots import Slots


class Decoder:
    """Decodes for the sequences of one context. ``costs`` learns what it took."""

    def __init__(self, context: Context, costs: Costs, slots: Slots) -> None:
        self._context = context
        self._model = context.model
        self._costs = costs
        self._slots = slots

    def ingest(self, slot: Sequence, tokens: tuple[int, ...] | list[int], *, last: bool) -> bool:
        """Put a chunk behind what is in KV; where it is the ``last`` of a run's prompt, draw the run's first
        token. False where decoding failed, and with it the run; a sequence without one is empty then.
        """
        start = slot.in_kv
        ms = self._decode([slot], lambda: self._context.ingest(slot.id, start, tokens, last=last))
        if ms is None:
            return False
        self._costs.saw_chunk(len(tokens), start, ms)
        slot.in_kv += len(tokens)
        if last:
            self._sample(slot, self._context.logits(-1))
        return True

    def generate(self, slots: list[Sequence]) -> None:
        """The next token of every run on these sequences, which are ascending."""
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

    def fail(self, slots: list[Sequence], error: Exception) -> None:
        """End the runs of these sequences, whose cells are not to be trusted; those without one are dropped."""
        for slot in slots:
            if slot.run is None:
                self._slots.drop(slot)
            else:
                self._slots.distrust(slot)
                slot.run.end("error", f"The engine could not go on: {error} Try again.")

    def _decode(self, slots: list[Sequence], call: Callable[[], None]) -> float | None:
        """How many milliseconds the call took; None where it failed and with it these runs.

        Other idle sequences are given up while cells are short (FACTS A18).
        """
        while True:
            before = time.monotonic()
            try:
                call()
            except NoRoom as error:
                if not self._slots.give_up_one(spare=slots):
                    self.fail(slots, error)
                    return None
            except DecodeFailed as error:
                self.fail(slots, error)
                return None
            else:
                return (time.monotonic() - before) * 1000

    def _sample(self, slot: Sequence, logits: Logits) -> None:
        """Draw the run's next token, or take the one that it drew here before the engine died or that is forced; end
        the run where that is its last.
        """
        run = run_of(slot)
        known = run.known
        try:
            token = run.sampler.draw(logits, known)
        except NoToken as error:
            run.end("error", str(error), error.code)
            return
        if known is None and self._model.is_end(token):
            run.took_end(time.monotonic())
            return
        slot.tokens.append(token)
        top = run.submit.sampling.logprobs
        likely = None if top is None else logprob(logits, token, top)
        run.took(token, self._model.piece(token), time.monotonic(), likely)
        if len(slot.tokens) >= self._context.length:
            run.end("context")
