from __future__ import annotations

import logging
from typing import Any

import pytest

from livethread.messages import RunDelta, RunFinished, RunQueued, RunStarted, ThreadDeleted
from livethread.model import Message, Principal, Sampling, Timings, Usage
from livethread.replies import ErrorBody
from livethread_server import journal
from tests.fakes import a_task

ANN = Principal("ann", "Ann")
PLACE: dict[str, Any] = {"thread": "t", "seq": 1, "version": 1}


def test_the_life_of_a_run_is_one_line_for_each_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    message = Message(id="m", role="assistant", content="my secret", created_at="")
    usage, timings = Usage(100, 7, 60), Timings(1, 2, 30.4, 400)
    journal.write(RunQueued(**PLACE, run="r", position=2))
    journal.write(
        RunStarted(
            **PLACE,
            run="r",
            message="m",
            model="smol",
            instance="i",
            prompt_tokens=100,
            reused_tokens=60,
            sampling=Sampling(),
            by=ANN,
        )
    )
    journal.write(RunFinished(**PLACE, run="r", reason="stop", message=message, usage=usage, timings=timings))
    journal.write(ThreadDeleted(**PLACE, by=ANN))
    assert [record.getMessage() for record in caplog.records] == [
        "run queued at position 2",
        "run started: 60 of 100 prompt tokens reused",
        "run finished (stop): 7 tokens, the first after 30 ms, the others in 400 ms",
        "thread deleted",
    ]
    assert "secret" not in caplog.text


def test_the_end_of_a_task_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    journal.write_task(a_task(state="done", usage=Usage(100, 7, 60), result="my secret"))
    journal.write_task(a_task(state="cancelled", reason="timeout"))
    journal.write_task(a_task(state="failed", reason="error", error=ErrorBody("internal", "my secret", False)))
    assert [record.getMessage() for record in caplog.records] == [
        "chat-completion done: 7 tokens, 100 of the prompt",
        "chat-completion cancelled (timeout)",
        "chat-completion failed (internal)",
    ]


def test_deltas_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    journal.write(RunDelta(thread="t", run="r", start=0, to=1, text="my secret"))
    assert not caplog.records
