from __future__ import annotations

import pytest

from livethread.model import Reason, Sampling
from livethread_server.engine.wire import Delta, Output, Progress, Started, Submit
from livethread_server.worker.run import Run


class Counted:
    """A sampler that counts how often it was freed."""

    def __init__(self) -> None:
        self.closed = 0

    def draw(self, logits: object) -> int:
        return 0

    def close(self) -> None:
        self.closed += 1


def a_run(**sampling: object) -> tuple[Run, Counted]:
    sampler = Counted()
    asked = Sampling(**sampling)  # type: ignore[arg-type]
    submit = Submit(run="r", thread="t", tenant="x", tokens=(1, 2, 3), sampling=asked)
    return Run(submit, sampler, reused=1, arrived_at=1.0, at=2.0), sampler


def said(run: Run) -> Output:
    output = run.output(9.0)
    assert output is not None
    return output


def test_the_first_output_tells_what_was_reused() -> None:
    run, _ = a_run()
    assert said(run).started == Started(3, 1, 1.0, 2.0, live=1)
    assert run.output(9.0) is None


def test_progress_counts_what_was_processed_beside_what_was_cached() -> None:
    run, _ = a_run()
    run.progressed(2)
    assert said(run).progress == Progress(1, 1, 3)


def test_tokens_leave_as_deltas_and_the_last_one_allowed_ends_the_run() -> None:
    run, sampler = a_run(max_tokens=2)
    run.took(5, b"a", 3.0)
    assert said(run).delta == Delta((5,), "a")
    run.took(6, b"b", 4.0)
    output = said(run)
    assert output.delta == Delta((6,), "b")
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion, output.finished.first_at) == ("length", 2, 3.0)
    assert sampler.closed == 1


def test_a_stop_string_ends_the_run_and_stays_out_of_the_text() -> None:
    run, _ = a_run(stop=("!",))
    run.took(5, b"a!b", 3.0)
    output = said(run)
    assert output.delta == Delta((), "a")
    assert output.finished is not None
    assert output.finished.reason == "stop_string"


def test_an_end_token_counts_but_has_no_text() -> None:
    run, _ = a_run()
    run.took_end(3.0)
    output = said(run)
    assert output.delta is None
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion) == ("stop", 1)


@pytest.mark.parametrize(("reason", "text"), [("cancelled", None), ("error", "<"), ("context", "<")])
def test_held_text_leaves_at_the_end_unless_the_run_was_cancelled(reason: Reason, text: str | None) -> None:
    run, _ = a_run(stop=("<end>",))
    run.took(5, b"<", 3.0)
    run.end(reason)
    delta = said(run).delta
    assert (delta.text if delta else None) == text


def test_the_first_reason_holds_and_the_sampler_is_freed_once() -> None:
    run, sampler = a_run()
    run.end("cancelled")
    run.end("error", "too late")
    output = said(run)
    assert output.finished is not None
    assert (output.finished.reason, output.finished.error) == ("cancelled", None)
    assert sampler.closed == 1
