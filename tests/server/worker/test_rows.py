from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.worker.llama import Context, Model, quiet
from livethread_server.worker.rows import Bytes, Frame, Malformed, parse, rows_of, state_size

COUNT = 50
PROMPT = [(7 * index * index + 300) % 40000 for index in range(COUNT)]


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Model]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    yield model
    model.close()


@pytest.fixture(
    scope="module", params=["split", "split with flash attention", "unified", "unified with flash attention"]
)
def context(model: Model, request: pytest.FixtureRequest) -> Iterator[Context]:
    split, flash = "split" in request.param, "flash" in request.param
    context = Context(model, length=128, sequences=3, split=split, flash_attention=flash, threads=1)
    context.ingest(1, 0, PROMPT[:20], last=False)  # in the unified layout this leaves holes that are filled first
    context.ingest(2, 0, PROMPT, last=False)
    context.drop(1)
    yield context
    context.close()


@pytest.fixture(scope="module")
def state(context: Context) -> Bytes:
    return context.export(2).copy()


def joined(state: Bytes, context: Context, stream: int, cuts: list[int]) -> Bytes:
    parsed = parse(state)
    size = state_size(parsed.shape, parsed.streams, parsed.count)
    frame = Frame(np.empty(size, np.uint8), parsed.shape, streams=context.streams, stream=stream, count=parsed.count)
    for start, stop in itertools.pairwise(cuts):
        frame.put(start, stop - start, rows_of(state, parsed, start, stop))
    return frame.state


def test_a_state_is_taken_apart_and_put_together_again(context: Context, state: Bytes) -> None:
    again = joined(state, context, 2 if context.streams > 1 else 0, [0, 16, 17, COUNT])
    if context.streams > 1:
        assert np.array_equal(again, state)
    context.restore(0, again)
    assert np.array_equal(joined(context.export(0), context, 0, [0, COUNT]), joined(state, context, 0, [0, COUNT]))


def test_more_rows_than_are_needed_do_no_harm(context: Context, state: Bytes) -> None:
    parsed = parse(state)
    size = state_size(parsed.shape, parsed.streams, 30)
    frame = Frame(np.empty(size, np.uint8), parsed.shape, streams=parsed.streams, stream=0, count=30)
    frame.put(0, 30, rows_of(state, parsed, 0, COUNT))
    assert np.array_equal(rows_of(frame.state, parse(frame.state), 0, 30), rows_of(state, parsed, 0, 30))


def test_tokens_whose_cells_lie_in_another_order_come_by_position(context: Context, state: Bytes) -> None:
    context.drop(0)
    context.ingest(0, 0, PROMPT[:10], last=False)
    context.ingest(1, 0, PROMPT[:10], last=False)
    context.cut(0, 4)
    context.ingest(0, 4, PROMPT[4:30], last=False)
    parsed = parse(context.export(0))
    assert parsed.count == 30
    context.drop(0)
    context.drop(1)


@pytest.mark.parametrize("at", range(0, 40, 4))
def test_a_state_with_other_numbers_is_refused(context: Context, state: Bytes, at: int) -> None:
    harmed = state.copy()
    harmed[at] ^= 0x40
    try:
        parsed = parse(harmed)
    except Malformed:
        return
    assert at == 4  # the sequence id in the beginning means nothing
    assert parsed.count == COUNT


@pytest.mark.parametrize("length", [0, 3, 11, 40, 700, -1])
def test_a_state_that_ends_too_early_is_refused(context: Context, state: Bytes, length: int) -> None:
    with pytest.raises(Malformed):
        parse(state[:length])


def test_a_state_with_something_behind_it_is_refused(context: Context, state: Bytes) -> None:
    with pytest.raises(Malformed):
        parse(np.concatenate([state, np.zeros(1, np.uint8)]))
