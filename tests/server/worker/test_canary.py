from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from livethread_server.worker.canary import prove, prove_vectors
from livethread_server.worker.llama import Context, LoadFailed, Model, Portion, Rows, VectorContext, loaded, quiet
from tests.reader import Reader


@pytest.mark.parametrize("length", [8, 256])
def test_the_canary_tells_what_tokens_cost_and_leaves_nothing_behind(model_path: Path, length: int) -> None:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=length, sequences=2)) as context:
        costs = prove(context)
        assert costs.of_rows(1) > 0
        assert bool(costs.of_token(0)) == (length > 8)
        context.ingest(0, 0, [5, 6, 7], last=True)


def test_a_model_that_only_embeds_is_proved_by_its_vectors(encoder_path: Path) -> None:
    quiet()
    model = Model(str(encoder_path), extra_bufts=False)
    costs = prove_vectors(VectorContext(model, length=64, threads=2))
    assert costs.of_token(0) > 0
    model.close()


def test_vectors_that_are_not_finite_are_a_broken_file() -> None:
    class Broken(Reader):
        model = SimpleNamespace(vocabulary=3)

        def read(self, portions: Sequence[Portion]) -> Rows:
            return np.full_like(super().read(portions), np.inf)

    broken = Broken()
    with pytest.raises(LoadFailed, match="not finite"):
        prove_vectors(cast(VectorContext, broken))
    assert broken.closed
