"""Vectors of texts on real models, compared with llama.cpp's own pooling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from livethread_server.worker.llama import Context, LoadFailed, Model, Portion, Rows, VectorContext, quiet
from livethread_server.worker.pooling import Pool
from tests.driven import words
from tests.minilm import LONGEST, classifier, head
from tests.tiny_gemma import tiny_gemma

TEXTS = [words(number, count) for number, count in enumerate((60, 7, 33))]
CLS, SEP = 101, 102
SHORT = (CLS, *range(2000, 2009), SEP)
POOLINGS = {"mean": llama.LLAMA_POOLING_TYPE_MEAN, "last": llama.LLAMA_POOLING_TYPE_LAST}


@pytest.fixture(scope="module")
def context(model: Model) -> Iterator[VectorContext]:
    context = VectorContext(model, length=256, threads=2)
    yield context
    context.close()


@pytest.fixture(scope="module")
def encoder(encoder_path: Path) -> Iterator[Model]:
    quiet()
    model = Model(str(encoder_path), extra_bufts=False)
    yield model
    model.close()


def pooled(context: VectorContext, tokens: tuple[int, ...], pooling: str, *cuts: int) -> Rows:
    """A text's vector, read in pieces."""
    pool, at = Pool("mean" if pooling == "mean" else "last"), 0
    for end in (*cuts, len(tokens)):
        pool.add(context.read([Portion(1, at, tokens[at:end])]))
        at = end
    context.drop(1)
    vector: Rows = pool.vectors()[0]
    return vector


def of_llama(model: Model, tokens: tuple[int, ...], kind: int) -> Rows:
    """What llama.cpp makes of a text by itself."""
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    params.embeddings, params.pooling_type = True, kind
    params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.n_threads = params.n_threads_batch = 2
    context = llama.llama_init_from_model(model.pointer, params)
    ids = (llama.llama_token * len(tokens))(*tokens)
    assert llama.llama_decode(context, llama.llama_batch_get_one(ids, len(ids))) == 0
    vector = np.ctypeslib.as_array(llama.llama_get_embeddings_seq(context, 0), (model.dimensions,)).copy()
    llama.llama_free(context)
    return vector


def likeness(one: Rows, other: Rows) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_our_pooling_is_that_of_llama(model: Model, context: VectorContext, pooling: str) -> None:
    theirs = of_llama(model, TEXTS[0], POOLINGS[pooling])
    assert likeness(pooled(context, TEXTS[0], pooling), theirs) > 0.9999
    assert likeness(pooled(context, TEXTS[0], pooling, 8, 37), theirs) > 0.9999


def test_texts_in_one_batch_do_not_see_each_other(context: VectorContext) -> None:
    alone = [pooled(context, text, "mean") for text in TEXTS]
    rows = context.read([Portion(number, 0, text) for number, text in enumerate(TEXTS)])
    ends = np.cumsum([len(text) for text in TEXTS])[:-1]
    for mine, vector in zip(np.split(rows, ends), alone, strict=True):
        assert likeness(mine.mean(axis=0), vector) > 0.9999
    for sequence in range(len(TEXTS)):
        context.drop(sequence)


def test_every_computation_but_the_first_ends_at_the_vectors(model: Model) -> None:
    context = VectorContext(model, length=64, threads=2)
    first = context.read([Portion(0, 0, TEXTS[1])]).copy()
    context.drop(0)
    assert np.allclose(context.read([Portion(0, 0, TEXTS[1])]), first, atol=1e-3)
    context.close()


def test_a_model_with_logits_reads_few_enough_tokens_at_once(context: VectorContext) -> None:
    assert context.rows == context.most == 256
    assert not context.whole


def test_an_encoder_reads_whole_texts_as_llama_does(encoder: Model) -> None:
    context = VectorContext(encoder, length=LONGEST, threads=2)
    assert (context.whole, context.remembers, context.most) == (True, False, LONGEST)
    rows = context.read([Portion(0, 0, SHORT[:5]), Portion(1, 0, SHORT)])
    theirs = of_llama(encoder, SHORT, llama.LLAMA_POOLING_TYPE_MEAN)
    assert likeness(rows[5:].mean(axis=0), theirs) > 0.9999
    context.drop(0)
    longest = context.read([Portion(0, 0, (CLS,) * LONGEST)])
    assert longest.shape == (LONGEST, 384)
    context.close()


def test_a_model_that_sees_whole_texts_and_does_not_say_so_reads_them_whole(tmp_path: Path) -> None:
    (tmp_path / "gemma.gguf").write_bytes(tiny_gemma())
    quiet()
    model = Model(str(tmp_path / "gemma.gguf"), extra_bufts=False)
    beside = Context(model, length=64, sequences=1)
    assert (model.causal, beside.remembers) == (True, False)
    context = VectorContext(model, length=400, remembers=beside.remembers, threads=2)
    assert (context.whole, context.rows, context.most) == (True, 256, 400)
    tokens = tuple(range(3, 283)) + tuple(range(50, 100))
    theirs = of_llama(model, tokens, llama.LLAMA_POOLING_TYPE_MEAN)
    assert likeness(context.read([Portion(0, 0, tokens)]).mean(axis=0), theirs) > 0.9999
    for each in (context, beside, model):
        each.close()


def test_a_score_is_what_the_head_makes_of_the_first_vector(reranker_path: Path) -> None:
    quiet()
    model = Model(str(reranker_path), extra_bufts=False)
    assert model.pooling == "rank"
    scores, vectors = (VectorContext(model, length=64, ranks=ranks, threads=2) for ranks in (True, False))
    assert scores.read([Portion(3, 0, SHORT[:6]), Portion(0, 0, SHORT)]).shape == (17, 0)
    rows = vectors.read([Portion(0, 0, SHORT)])
    weights = classifier() | head()
    inner = np.tanh(weights["cls.weight"] @ rows[0] + weights["cls.bias"])
    (score,) = weights["cls.output.weight"] @ inner + weights["cls.output.bias"]
    assert scores.score(0) == pytest.approx(float(score), abs=2e-3)
    assert scores.score(3) != scores.score(0)
    scores.close()
    vectors.close()
    model.close()


def test_a_context_that_does_not_fit_says_so(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "llama_init_from_model", lambda *_: None)
    with pytest.raises(LoadFailed, match="vectors of 64 tokens"):
        VectorContext(model, length=64)
