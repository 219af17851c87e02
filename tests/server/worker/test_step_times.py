from __future__ import annotations

from livethread_server.worker.step_times import StepTimes


def test_buckets_count_every_step_that_took_no_longer() -> None:
    times = StepTimes()
    for seconds in (0.004, 0.01, 0.09, 7.0):
        times.took(seconds)
    told = times.told()
    counts = dict(told["buckets"])
    assert (counts["0.01"], counts["0.05"], counts["0.1"], counts["5.0"], counts["+Inf"]) == (2, 2, 3, 3, 4)
    assert told["seconds"] == 7.104


def test_nothing_is_counted_before_the_first_step() -> None:
    told = StepTimes().told()
    assert {count for _, count in told["buckets"]} == {0}
    assert told["seconds"] == 0
