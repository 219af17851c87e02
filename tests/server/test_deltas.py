from __future__ import annotations

from livethread.messages import RunDelta
from livethread_server.deltas import joined, touch


def delta(start: int, to: int, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=to, text=f"{start}-{to} ")


def test_deltas_touch_where_one_goes_on_with_the_other() -> None:
    assert touch(delta(0, 2), delta(2, 3))
    assert not touch(delta(0, 2), delta(3, 4))
    assert not touch(delta(0, 2), delta(2, 3, "another"))


def test_joined_deltas_say_what_they_said_one_by_one() -> None:
    one = delta(4, 5)
    assert joined([one]) is one
    assert joined([delta(0, 2), delta(2, 3), delta(3, 9)]) == RunDelta(
        thread="t", run="r", start=0, to=9, text="0-2 2-3 3-9 "
    )
