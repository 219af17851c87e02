from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from livethread.errors import ErrorCode
from livethread.model import Sampling
from livethread_server.engine.wire import Delta, Submit
from livethread_server.worker.decoder import Decoder
from livethread_server.worker.llama import DecodeFailed, NoRoom
from livethread_server.worker.logprobs import logprob
from livethread_server.worker.run import Run
from livethread_server.worker.sampling import NoToken
from livethread_server.worker.scheduler import Costs
from livethread_server.worker.sequence import Sequence, run_of
from livethread_server.worker.slots import Slots

END = 9


class Script:
    """A model and a context that keep what is put into them, and a sampler that draws by a list.

    ``failures`` are raised by the next decodes, ``draws`` are tokens or what drawing raises.
    """

    def __init__(self, *draws: int | Exception) -> None:
        self.sequences, self.length, self.cuttable, self.wants_neighbours = 3, 8, True, False
        self.model = self
        self.draws = list(draws)
        self.known: list[int | None] = []
        self.failures: list[Exception] = []
        self.kv: dict[int, list[int]] = {}
        self.closed = 0

    # The context

    def ingest(self, sequence: int, position: int, tokens: Any, *, last: bool) -> None:
        self._fail()
        self.kv[sequence] = [*self.kv.get(sequence, [])[:position], *tokens]

    def generate(self, rows: list[tuple[int, int, int]]) -> None:
        self._fail()
        for sequence, _, token in rows:
            self.kv.setdefault(sequence, []).append(token)

    def logits(self, row: int) -> Any:
        return np.arange(END + 1, dtype=np.float32)

    def drop(self, sequence: int) -> None:
        self.kv.pop(sequence, None)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    # The model

    def is_end(self, token: int) -> bool:
        return token == END

    def piece(self, token: int) -> bytes:
        return b"%d " % token

    # The sampler

    def draw(self, logits: Any, known: int | None = None) -> int:
        self.known.append(known)
        drawn = self.draws.pop(0) if known is None else known
        if isinstance(drawn, Exception):
            raise drawn
        return drawn

    def close(self) -> None:
        self.closed += 1


def decoding(script: Script) -> tuple[Decoder, Slots]:
    context: Any = script
    slots = Slots(context)
    return Decoder(context, Costs(), slots), slots


def running(
    slots: Slots, script: Script, number: int = 0, *generated: int, tokens: int = 4, logprobs: int | None = None
) -> Sequence:
    prompt, sampling = tuple(range(1, tokens + 1)), Sampling(logprobs=logprobs)
    submit = Submit(run="r", thread="t", tenant="x", tokens=prompt, sampling=sampling, generated=generated)
    slot = slots[number]
    slot.thread, slot.tokens = "t", list(prompt)
    slot.run = Run(submit, script, reused=0, arrived_at=0.0, at=0.0)
    return slot


def test_the_last_chunk_of_a_prompt_draws_the_first_token() -> None:
    script = Script(7)
    decoder, slots = decoding(script)
    slot = running(slots, script)
    assert decoder.ingest(slot, slot.tokens[:2], last=False)
    assert (slot.in_kv, run_of(slot).completion) == (2, 0)
    assert decoder.ingest(slot, slot.tokens[2:], last=True)
    assert (slot.in_kv, slot.tokens, run_of(slot).completion) == (4, [1, 2, 3, 4, 7], 1)


def test_every_run_gets_its_next_token() -> None:
    script = Script(7, 8)
    decoder, slots = decoding(script)
    both = [running(slots, script, number) for number in range(2)]
    for slot in both:
        slot.in_kv = 3
    decoder.generate(both)
    assert [slot.tokens[-1] for slot in both] == [7, 8]
    assert [slot.in_kv for slot in both] == [4, 4]
    decoder.generate([])


def test_known_tokens_are_taken_before_any_is_drawn_even_one_that_ends() -> None:
    script = Script(7)
    decoder, slots = decoding(script)
    slot = running(slots, script, 0, 5, END)
    decoder.ingest(slot, slot.tokens, last=True)
    decoder.generate([slot])
    decoder.generate([slot])
    assert slot.tokens == [1, 2, 3, 4, 5, END, 7]
    assert script.known == [5, END, None]


def test_drawn_tokens_are_told_with_their_logprobs_where_they_were_asked_for() -> None:
    script = Script(7, 8, 7)
    decoder, slots = decoding(script)
    slot, silent = running(slots, script, 0, 5, logprobs=2), running(slots, script, 1)
    for one in (slot, silent):
        decoder.ingest(one, one.tokens, last=True)
    decoder.generate([slot])
    told, untold = (run_of(one).output(1.0) for one in (slot, silent))
    assert told is not None
    assert untold is not None
    assert told.delta == Delta((8,), "8 ", (logprob(script.logits(0), 8, 2),))
    assert untold.delta == Delta((7,), "7 ")


def test_an_end_token_a_full_context_and_no_token_end_the_run() -> None:
    script = Script(END, 7, NoToken("Nothing is left.", ErrorCode.BAD_REQUEST))
    decoder, slots = decoding(script)
    ended, full, stuck = running(slots, script), running(slots, script, 1, tokens=7), running(slots, script, 2)
    for slot in (ended, full, stuck):
        decoder.ingest(slot, slot.tokens, last=True)
    assert [run_of(slot).reason for slot in (ended, full, stuck)] == ["stop", "context", "error"]
    said = run_of(stuck).output(0.0)
    assert said is not None
    assert said.finished is not None
    assert said.finished.code is ErrorCode.BAD_REQUEST
    assert script.closed == 3


def test_a_failed_decode_ends_its_runs_and_their_cells_are_not_trusted() -> None:
    script = Script()
    decoder, slots = decoding(script)
    slot = running(slots, script)
    script.failures = [DecodeFailed("llama_decode returned -3.")]
    assert not decoder.ingest(slot, slot.tokens, last=True)
    assert (run_of(slot).reason, slot.in_kv, script.kv) == ("error", 0, {})


@pytest.mark.parametrize("idle", [True, False])
def test_without_cells_idle_sequences_are_given_up_before_a_run_is(idle: bool) -> None:
    script = Script(7)
    decoder, slots = decoding(script)
    slot = running(slots, script)
    if idle:
        slots[1].thread, slots[1].tokens, slots[1].in_kv = "idle", [1], 1
    script.failures = [NoRoom("No cells are left.")]
    assert decoder.ingest(slot, slot.tokens, last=True) is idle
    assert (run_of(slot).reason, slots[1].thread) == (None if idle else "error", None)


def idle(slots: Slots, number: int, thread: str, tokens: int) -> Sequence:
    slot = slots[number]
    slot.thread, slot.tokens, slot.in_kv = thread, list(range(tokens)), tokens
    return slot


@pytest.mark.parametrize("others", [True, False])
def test_without_cells_what_is_read_ahead_never_gives_up_its_own_sequence(others: bool) -> None:
    script = Script()
    decoder, slots = decoding(script)
    filled = idle(slots, 0, "filled", 2)  # used least recently
    if others:
        slots.used(idle(slots, 1, "other", 1))
    script.failures = [NoRoom("No cells are left.")]
    assert decoder.ingest(filled, [5, 6], last=False) is others
    assert slots.of("other") is None
    assert (filled.thread, filled.in_kv) == (("filled", 4) if others else (None, 0))
    assert script.kv == ({0: [5, 6]} if others else {})


def test_where_sequences_fail_those_without_a_run_are_dropped() -> None:
    script = Script()
    decoder, slots = decoding(script)
    slot, other = running(slots, script), idle(slots, 1, "other", 3)
    decoder.fail([slot, other], DecodeFailed("They could not be exchanged."))
    assert run_of(slot).reason == "error"
    assert slots.of("other") is None
    assert slots.moved() == (("other", None),)
