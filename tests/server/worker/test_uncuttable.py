"""Memory that cannot be cut, on a real model with a sliding window: nothing wrong is ever reused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.engine.wire import Configure, Evict, Settled, Warm
from livethread_server.worker.llama import Context, Logits, Model, State, loaded, quiet
from livethread_server.worker.scheduler import Costs
from tests.driven import Driven, reused, sources, tokens_of, words

LENGTH, SEQUENCES = 2048, 2
LONG = 900
"""More tokens than the window and the longest chunk have, so that cells are missing at the beginning."""
NOISE = 5.0
"""How far logits of the same text may lie apart: this model's depend on how it is cut into chunks (up to 2.7),
those of another last turn are 12 apart. What must be equal is compared as states.
"""
NO_END = dict.fromkeys((1, 106), -1000.0)


class Steady(Costs):
    """Costs that never change, so that prompts are always cut into the same chunks, which this model's logits
    depend on.
    """

    def of_rows(self, rows: int) -> float:
        return 1.0

    def of_token(self, depth: int) -> float:
        return 1.0


@pytest.fixture(scope="module")
def shared(gemma_path: Path) -> Iterator[tuple[Context, Costs]]:
    quiet()
    model = Model(str(gemma_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=SEQUENCES, threads=2)) as context:
        yield context, Steady()


@pytest.fixture
def driven(shared: tuple[Context, Costs], tmp_path: Path) -> Iterator[Driven]:
    for sequence in range(SEQUENCES):
        shared[0].drop(sequence)
    configure = Configure(
        model_path=__file__,
        context=LENGTH,
        sequences=SEQUENCES,
        model_digest="d",
        cache_dir=str(tmp_path),
        disk_bytes=1 << 30,
    )
    driven = Driven(*shared, configure)
    yield driven
    driven.tiers.files.settle(5)
    driven.tiers.files.close()


def state_of(driven: Driven, thread: str) -> State:
    slot = driven.loop._slots.of(thread)
    assert slot is not None
    return driven.context.export(slot.id).copy()


def next_logits(driven: Driven, thread: str) -> Logits:
    slot = driven.loop._slots.of(thread)
    assert slot is not None
    driven.context.generate([(slot.id, slot.in_kv, 77)])
    return driven.context.logits(0).copy()


def evict(driven: Driven, ask: int, thread: str) -> None:
    driven.step(Evict(ask, thread))
    assert driven.answer(ask) == Settled(ask, thread, "disk")


def test_the_state_that_comes_back_is_the_state_that_went(driven: Driven) -> None:
    assert not driven.context.model.cuttable
    driven.ask("r1", words(1, LONG), "t", max_tokens=1)
    before = state_of(driven, "t")
    evict(driven, 1, "t")
    driven.step(Warm(ask=2, thread="t", tenant="x", tokens=words(1, LONG)))
    assert driven.answer(2) == Settled(2, "t", "live")
    after = state_of(driven, "t")
    assert np.array_equal(before, after)
    restored = next_logits(driven, "t")
    driven.context.restore(1, before)
    driven.context.generate([(1, LONG, 77)])
    assert np.array_equal(driven.context.logits(0), restored)


def test_the_next_turn_of_an_evicted_thread_goes_on_where_it_was(driven: Driven) -> None:
    prompt = words(1, LONG)
    first = tokens_of(driven.ask("r1", prompt, "t", max_tokens=4))
    longer = prompt + first + words(2, 20)
    live = driven.ask("r2", longer, "t", max_tokens=1)
    assert sources(live) == (LONG + 3, 0, 0)
    evict(driven, 1, "t")
    assert sources(driven.ask("r3", prompt, "u", tenant="y", max_tokens=4)) == (0, 0, 0)
    evict(driven, 2, "u")
    again = driven.ask("r4", longer, "u", tenant="y", max_tokens=1)
    assert sources(again) == (0, 0, LONG + 3)
    restored = next_logits(driven, "u")
    driven.ask("r5", longer, "clean", tenant="z", max_tokens=1)
    assert np.abs(next_logits(driven, "clean") - restored).max() < NOISE


def test_a_sequence_that_goes_back_to_a_mark_is_what_it_was_there(driven: Driven) -> None:
    context = driven.context
    for start in range(0, LONG, 100):
        context.ingest(0, start, words(1, LONG)[start : start + 100], last=False)
    mark, whole = context.mark(0), context.export(0).copy()
    for start in range(LONG, LONG + 700, 100):
        context.ingest(0, start, words(2, 100), last=False)
    assert not context.can_keep(0, LONG)
    context.rewind(0, LONG, mark)
    assert np.array_equal(context.export(0), whole)


def test_the_last_turn_can_be_asked_again_and_edited_while_it_is_live(driven: Driven) -> None:
    history = words(1, LONG)
    driven.ask("r1", history, "t", max_tokens=1)
    driven.ask("r2", history + words(2, 300), "t", max_tokens=400, logit_bias=NO_END)
    again = driven.ask("r3", history + words(2, 300), "t", max_tokens=1)
    assert sources(again) == (LONG + 298, 0, 0)
    asked_again = next_logits(driven, "t")
    edited = driven.ask("r4", history + words(3, 300), "t", max_tokens=1)
    assert sources(edited) == (LONG, 0, 0)
    after_edit = next_logits(driven, "t")
    driven.ask("c1", history + words(2, 300), "clean", tenant="z", max_tokens=1)
    assert np.abs(next_logits(driven, "clean") - asked_again).max() < NOISE
    driven.ask("c2", history + words(3, 300), "clean2", tenant="v", max_tokens=1)
    assert np.abs(next_logits(driven, "clean2") - after_edit).max() < NOISE


@pytest.mark.parametrize("kept", [LONG - 300, LONG - 1])
def test_an_edit_behind_the_last_boundary_reuses_nothing_wrong(driven: Driven, kept: int) -> None:
    prompt = words(1, LONG)
    driven.ask("r1", prompt, "t", max_tokens=4)
    edited = prompt[:kept] + words(3, 40)
    clean = driven.ask("r2", edited, "clean", tenant="y", max_tokens=1)
    assert sources(clean) == (0, 0, 0)
    expected = next_logits(driven, "clean")
    evict(driven, 1, "t")
    assert sources(driven.ask("r3", edited, "t", max_tokens=1)) == (0, 0, 0)
    assert np.array_equal(next_logits(driven, "t"), expected)


def test_tasks_go_on_in_their_sequence_and_choices_say_the_same(shared: tuple[Context, Costs]) -> None:
    for sequence in range(SEQUENCES):
        shared[0].drop(sequence)
    configure = Configure(model_path=__file__, context=LENGTH, sequences=1, task_sequences=SEQUENCES - 1)
    driven = Driven(*shared, configure)
    first = driven.ask("r1", words(1), "~1", max_tokens=3)
    for run in ("r2", "r3"):
        driven.submit(run, words(1) + tokens_of(first) + words(2, 5), "~2", max_tokens=2)
    second, third = driven.finish("r2", "r3")
    assert reused(second) == 52
    assert tokens_of(second) == tokens_of(third)
    driven.tiers.files.close()


def test_choices_that_run_at_once_read_their_prompt_once(shared: tuple[Context, Costs]) -> None:
    for sequence in range(SEQUENCES):
        shared[0].drop(sequence)
    driven = Driven(*shared, Configure(model_path=__file__, context=LENGTH, sequences=0, task_sequences=SEQUENCES))
    prompt = words(4, LONG - 200)
    for run in ("r1", "r2"):
        driven.submit(run, prompt, "~1", max_tokens=3)
    first, second = driven.finish("r1", "r2")
    assert [reused(first), reused(second)] == [0, LONG - 202]
    assert tokens_of(first) == tokens_of(second)
    driven.tiers.files.close()
