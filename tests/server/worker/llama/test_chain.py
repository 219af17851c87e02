from __future__ import annotations

import numpy as np

from livethread_server.worker.llama import Candidates, Chain, Model


def test_candidates_tell_what_a_chain_selected(model: Model) -> None:
    candidates, chain = Candidates(model.vocabulary), Chain(model)
    logits = np.zeros(model.vocabulary, np.float32)
    logits[77] = 3.0
    candidates.fill(logits)
    assert candidates.chosen is None
    chain.greedy()
    candidates.apply(chain)
    assert candidates.chosen == (77, 3.0)
    chain.close()
