from __future__ import annotations

import pytest

from livethread.model import Sampling
from livethread_server.engine.wire import (
    AskStats,
    CancelEmbed,
    Embedded,
    EmbedEnded,
    Evict,
    Pin,
    Settled,
    Stats,
    Step,
    Submit,
    Warm,
)
from livethread_server.worker import vector_loop
from livethread_server.worker.loop import Command, Told
from livethread_server.worker.vector_loop import VectorLoop
from tests.driven import Listed
from tests.reader import Readers, embed


class Ending(Listed):
    """An inbox that ends once nothing is in it."""

    def take(self, seconds: float | None) -> list[tuple[float, Command]] | None:
        return super().take(0.0) or None


class Stand:
    """A loop whose inbox ends with what is in it."""

    def __init__(self) -> None:
        self.said: list[Told] = []
        self.inbox = Listed()
        self.loop = VectorLoop(Readers().embedder, self.inbox, self.said.append, step_ms=10)

    def turn(self) -> list[Told]:
        """Hear everything, and take one step."""
        assert self.loop.listen()
        self.loop.step()
        said = list(self.said)
        self.said.clear()
        return said


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_texts_are_answered(stand: Stand) -> None:
    stand.inbox.commands.append(embed(1, (4, 6), (8,)))
    vectors = stand.turn()
    assert [type(told) for told in vectors] == [Embedded, Embedded, EmbedEnded]
    assert stand.turn() == []


def test_who_cancels_hears_it_before_anything_more_is_read(stand: Stand) -> None:
    stand.inbox.commands.append(embed(1, range(100)))
    assert stand.turn() == []
    stand.inbox.commands.append(CancelEmbed(1))
    assert stand.turn() == [EmbedEnded(1, cancelled=True)]


def test_a_run_hears_that_the_model_cannot_generate(stand: Stand) -> None:
    sampling = Sampling()
    stand.inbox.commands.append(Submit(run="r", thread="t", tenant="x", tokens=(1,), sampling=sampling))
    (step,) = stand.turn()
    assert isinstance(step, Step)
    (output,) = step.outputs
    assert output.run == "r"
    assert output.finished is not None
    assert output.finished.reason == "error"
    assert output.finished.error is not None
    assert "cannot generate" in output.finished.error


def test_threads_have_nothing_here(stand: Stand) -> None:
    warm = Warm(ask=1, thread="t", tenant="x", tokens=(1,))
    stand.inbox.commands.extend([Pin("t", True), warm, Evict(2, "t"), AskStats(3)])
    first, second, stats = stand.turn()
    assert (first, second) == (Settled(1, "t", "cold"), Settled(2, "t", "cold"))
    assert isinstance(stats, Stats)
    assert stats.body["threads"] == {"live": 0, "ram": 0, "disk": 0}


def test_a_long_text_lets_the_server_hear_that_its_engine_is_at_work(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_loop, "BEAT", 0.0)
    stand.inbox.commands.append(embed(1, range(100)))
    assert stand.turn() == [Step(())]


def test_it_ends_with_its_inbox() -> None:
    said: list[Told] = []
    inbox = Ending()
    inbox.commands.append(embed(1, (4,)))
    VectorLoop(Readers().embedder, inbox, said.append, step_ms=10).run()
    assert [type(told) for told in said] == [Embedded, EmbedEnded]
