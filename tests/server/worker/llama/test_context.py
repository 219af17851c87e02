from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.worker.llama import (
    Context,
    DecodeFailed,
    Logits,
    Model,
    loaded,
    quiet,
)

PROMPT = [(7 * index * index + 300) % 40000 for index in range(60)]


@pytest.fixture(scope="module", params=["split", "unified"])
def shared(model: Model, request: pytest.FixtureRequest) -> Iterator[Context]:
    context = Context(model, length=256, sequences=4, split=request.param == "split", threads=2)
    yield context
    context.close()


@pytest.fixture
def context(shared: Context) -> Context:
    for sequence in range(shared.sequences):
        shared.drop(sequence)
    return shared


def next_logits(context: Context, sequence: int, position: int, token: int = 5) -> Logits:
    context.generate([(sequence, position, token)])
    return context.logits(0).copy()


def test_a_cut_sequence_goes_on_as_if_nothing_had_been_there(context: Context) -> None:
    context.ingest(0, 0, PROMPT[:40], last=False)
    clean = next_logits(context, 0, 40)
    context.cut(0, 40)
    context.ingest(0, 40, PROMPT[40:], last=False)
    assert context.can_keep(0, 40)
    context.cut(0, 40)
    assert np.array_equal(next_logits(context, 0, 40), clean)


def test_a_copied_prefix_gives_the_logits_of_its_source(context: Context) -> None:
    context.ingest(0, 0, PROMPT[:40], last=False)
    clean = next_logits(context, 0, 40)
    context.cut(0, 40)
    context.ingest(0, 40, PROMPT[40:], last=False)
    context.copy_prefix(0, 2, 40)
    assert np.allclose(next_logits(context, 2, 40), clean, atol=1e-4)


def test_a_moved_state_leaves_the_logits_equal(model: Model) -> None:
    context = Context(model, length=256, sequences=4, threads=2)
    context.ingest(0, 0, PROMPT, last=False)
    clean = next_logits(context, 0, 60)
    context.cut(0, 60)
    context.ingest(3, 0, PROMPT[:20], last=False)
    context.swap(0, 3)
    assert np.array_equal(next_logits(context, 3, 60), clean)
    context.cut(3, 60)
    context.swap(3, 1)
    assert np.array_equal(next_logits(context, 1, 60), clean)
    assert context.wants_neighbours
    context.close()


def test_a_restored_state_that_is_not_whole_is_refused_and_leaves_nothing(context: Context) -> None:
    context.ingest(0, 0, PROMPT, last=False)
    state = context.export(0).copy()
    with pytest.raises(DecodeFailed):
        context.restore(1, state[: len(state) // 2])
    context.ingest(1, 0, PROMPT[:10], last=False)


def test_rows_decode_together_as_they_do_alone(model: Model) -> None:
    context = Context(model, length=256, sequences=4, threads=2)
    for sequence in range(4):
        context.ingest(sequence, 0, PROMPT[: 20 + sequence], last=False)
    context.generate([(sequence, 20 + sequence, 9) for sequence in range(4)])
    together = [context.logits(row).copy() for row in range(4)]
    for sequence in range(4):
        context.cut(sequence, 20 + sequence)
        assert int(next_logits(context, sequence, 20 + sequence, 9).argmax()) == int(together[sequence].argmax())
    context.close()


def test_loaded_frees_the_context_before_the_model(model_path: Path) -> None:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=256, sequences=1)) as context:
        context.ingest(0, 0, PROMPT[:4], last=True)
        assert np.isfinite(context.logits(-1)).all()


def test_an_export_goes_into_memory_that_was_made_ready(context: Context) -> None:
    context.ingest(0, 0, PROMPT, last=False)
    expected = context.export(0).copy()
    ready = np.ones(1 << 25, np.uint8)
    context.export_into(ready)
    context.export_into(np.ones(10, np.uint8))
    again = context.export(0)
    assert np.shares_memory(again, ready)
    assert np.array_equal(again, expected)
