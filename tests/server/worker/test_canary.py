from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.worker.canary import prove
from livethread_server.worker.llama import Context, Model, loaded, quiet


@pytest.mark.parametrize("length", [8, 256])
def test_the_canary_tells_what_tokens_cost_and_leaves_nothing_behind(model_path: Path, length: int) -> None:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=length, sequences=2)) as context:
        costs = prove(context)
        assert costs.of_rows(1) > 0
        assert bool(costs.of_token(0)) == (length > 8)
        context.ingest(0, 0, [5, 6, 7], last=True)
