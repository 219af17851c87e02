"""A real model's engine that embeds beside threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from livethread_server.engine.wire import CancelEmbed, Configure, Embed
from livethread_server.worker.llama import Context, Model, loaded, quiet
from livethread_server.worker.scheduler import Costs
from tests.driven import Driven, tokens_of, words

LENGTH, SEQUENCES = 512, 2
CONFIGURE = Configure(model_path=__file__, context=LENGTH, sequences=SEQUENCES)
NO_END = dict.fromkeys((0, 2, 4), -1000.0)


class Fixed(Costs):
    """A row or a prompt token costs a millisecond, whatever it took."""

    def of_rows(self, rows: int) -> float:
        return float(rows)

    def of_token(self, depth: int) -> float:
        return 1.0


@pytest.fixture(scope="module")
def context(model_path: Path) -> Iterator[Context]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=SEQUENCES, threads=2)) as context:
        yield context


@pytest.fixture
def driven(context: Context) -> Iterator[Driven]:
    for sequence in range(SEQUENCES):
        context.drop(sequence)
    driven = Driven(context, Fixed(), CONFIGURE)
    driven.embedder._costs = Fixed()
    yield driven
    driven.embedder.close()
    driven.tiers.files.close()


def embed(ask: int, *texts: tuple[int, ...]) -> Embed:
    return Embed(ask=ask, texts=texts, pooling="mean")


def vector(driven: Driven, ask: int) -> list[float]:
    driven.until(lambda: ask in driven.ends)
    assert driven.ends[ask].error is None
    found: list[float] = np.frombuffer(driven.vectors[ask][0].vector, "<f4").tolist()
    return found


def test_a_long_text_is_read_beside_a_thread_that_says_a_token_in_every_step(driven: Driven) -> None:
    alone = driven.ask("alone", words(1), max_tokens=20, logit_bias=NO_END)
    driven.submit("r", words(1), max_tokens=20, logit_bias=NO_END)
    driven.step()
    driven.step(embed(1, words(5, 200)))
    said, steps = len(tokens_of(driven.said["r"])), 0
    while 1 not in driven.ends and not driven.said["r"].finished:
        driven.step()
        steps += 1
        assert len(tokens_of(driven.said["r"])) == said + steps
    assert steps > 1
    (output,) = driven.finish("r")
    assert tokens_of(output) == tokens_of(alone)
    beside = vector(driven, 1)
    driven.step(embed(2, words(5, 200)))
    quiet_one = vector(driven, 2)
    likeness = np.dot(beside, quiet_one) / np.linalg.norm(beside) / np.linalg.norm(quiet_one)
    assert likeness > 0.9999


def test_texts_come_through_while_a_thread_takes_every_step_whole(driven: Driven) -> None:
    driven.loop._step_ms = 10.0
    driven.submit("r", words(1), max_tokens=60, logit_bias=NO_END)
    driven.step(embed(1, words(2, 20)))
    driven.until(lambda: 1 in driven.ends)
    assert "r" not in driven.said or driven.said["r"].finished is None


def test_who_cancels_has_the_end_in_the_next_step(driven: Driven) -> None:
    driven.step(embed(1, words(5, 500), words(6, 500)))
    assert 1 not in driven.ends
    driven.step(CancelEmbed(1))
    assert driven.ends[1].cancelled
    assert not driven.embedder.busy


def test_what_comes_first_is_ingested_before_texts_are_read(driven: Driven) -> None:
    driven.submit("r", words(1, 100), max_tokens=1)
    driven.step(embed(1, words(2, 400)))
    driven.finish("r")
    assert 1 not in driven.ends
