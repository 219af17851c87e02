from __future__ import annotations

import pytest

from livethread.model import Sampling
from livethread_server.engine.packing import pack, unpack_down, unpack_up
from livethread_server.engine.wire import (
    AskStats,
    CancelRun,
    Configure,
    Delta,
    Down,
    Evict,
    Failed,
    Finished,
    Forget,
    Ingest,
    Logprob,
    Moved,
    Output,
    Pin,
    Progress,
    Ready,
    Settled,
    Started,
    Stats,
    Step,
    Submit,
    Up,
    Warm,
    merged,
)

DOWN: list[Down] = [
    Configure(model_path="m", context=8, sequences=2),
    Submit(
        run="r",
        thread="t",
        tenant="x",
        tokens=(1, 2),
        sampling=Sampling(max_tokens=3, logit_bias={7: -1.5}, stop=("a",), seed=(1 << 32) - 2),
    ),
    CancelRun("r"),
    Forget("t"),
    Ingest(thread="t", tenant="x", tokens=(1, 2), shared=1),
    Warm(ask=1, thread="t", tenant="x", tokens=(1, 2)),
    Evict(2, "t"),
    Pin("t", True),
    AskStats(3),
]
OUTPUT = Output(
    "r", Started(3, 1, 0.5, 1.0, 0, 1, 0), Progress(1, 1, 3), Delta((1, 2), "é\ufffd"), Finished("stop", 3, 1.0, 2.0)
)
UP: list[Up] = [
    Ready(context=8, trained_context=8, sequences=2, cells=16, vocabulary=9, description="d", cuttable=True),
    Failed("No."),
    Step((OUTPUT, Output("q")), (Moved("t", "live", 4),)),
    Step((Output("r", delta=Delta((1,), "a", (Logprob(-1.5, ((1, -1.5), (7, -2.25))),))),)),
    Settled(2, "t", "disk"),
    Stats(3, {"ram": {"bytes": 4}}),
]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_survive_the_pipe_in_whatever_pieces(size: int) -> None:
    for messages, unpacker in ((DOWN, unpack_down()), (UP, unpack_up())):
        data = b"".join(pack(message) for message in messages)
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [message for piece in pieces for message in unpacker.feed(piece)] == list(messages)


def test_merging_joins_deltas_and_keeps_the_last_progress() -> None:
    started = Output("r", Started(3, 1, 0.5, 1.0), Progress(1, 1, 3), Delta((1,), "a"))
    ended = Output("r", None, Progress(1, 2, 3), Delta((2,), "b"), Finished("stop", 3, 1.0, 2.0))
    assert merged(started, ended) == Output("r", started.started, ended.progress, Delta((1, 2), "ab"), ended.finished)


def test_merging_joins_logprobs() -> None:
    first = Output("r", delta=Delta((1,), "a", (Logprob(-1.0, ((1, -1.0), (7, -2.0))),)))
    second = Output("r", delta=Delta((2,), "b", (Logprob(-0.5),)))
    delta = merged(first, second).delta
    assert delta == Delta((1, 2), "ab", (Logprob(-1.0, ((1, -1.0), (7, -2.0))), Logprob(-0.5)))


def test_merging_with_nothing_changes_nothing() -> None:
    assert merged(OUTPUT, Output("r")) == OUTPUT
    assert merged(Output("r"), OUTPUT) == OUTPUT
