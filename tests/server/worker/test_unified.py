"""A real model's engine whose sequences share too few cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.engine.wire import Configure, Settled, Warm
from livethread_server.worker import canary
from livethread_server.worker.llama import Context, Model, loaded, quiet
from tests.driven import Driven, tokens_of, words

LENGTH, SEQUENCES, CELLS = 512, 3, 256


@pytest.fixture
def driven(model_path: Path) -> Iterator[Driven]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    context = Context(model, length=LENGTH, sequences=SEQUENCES, split=False, cells=CELLS, threads=2)
    with loaded(model, context):
        configure = Configure(model_path=__file__, context=LENGTH, sequences=SEQUENCES)
        driven = Driven(context, canary.prove(context), configure)
        yield driven
        driven.tiers.files.close()


def test_what_is_read_ahead_beyond_all_cells_is_given_up_and_nothing_is_left_of_it(driven: Driven) -> None:
    alone = tokens_of(driven.ask("r1", words(1), "t"))
    driven.step(Warm(ask=1, thread="u", tenant="x", tokens=words(2, 400)))
    assert driven.answer(1) == Settled(1, "u", "cold")
    assert [slot.in_kv for slot in driven.tiers.residencies.slots] == [0, 0, 0]
    assert tokens_of(driven.ask("r2", words(1), "t")) == alone
    assert driven.stats()["live"]["sequences"] == 1
