"""A copy that was cut off and resumed is the copy that never was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from livethread.errors import ProtocolError
from livethread.messages import (
    Appended,
    Event,
    RunDelta,
    RunFinished,
    RunRecovered,
    RunSnapshot,
    RunStarted,
    Since,
    SubscribeOk,
    ThreadMutated,
    ThreadResidency,
)
from livethread.model import Message, Principal, Sampling, Thread, Timings, Usage
from livethread.resume import Replica, followed, joined, resumed, since_of

BY = Principal("p", "P")


def message(id_: str = "a", content: str = "", **fields: Any) -> Message:
    return Message(id=id_, role="assistant", content=content, created_at="then", **fields)


def thread(*messages: Message, **fields: Any) -> Thread:
    settled: dict[str, Any] = {"epoch": "e", "version": 1, "seq": 0, "created_at": "then", "updated_at": "then"}
    return Thread(id="t", model="m", owner="p", messages=messages, **(settled | fields))


def whole(value: Thread, run: RunSnapshot | None = None) -> SubscribeOk:
    more: dict[str, Any] = {} if run is None else {"run": run}
    settled: dict[str, Any] = {"epoch": value.epoch, "seq": value.seq, "version": value.version}
    return SubscribeOk(recovered=False, thread=value, more=False, **settled, **more)


def rest(seq: int, *events: Event, run: RunSnapshot | None = None, epoch: str = "e") -> SubscribeOk:
    more: dict[str, Any] = {} if run is None else {"run": run}
    return SubscribeOk(
        epoch=epoch, seq=seq, version=2, recovered=True, events=tuple(map(msgspec.to_builtins, events)), **more
    )


def started(seq: int = 1, run: str = "r") -> RunStarted:
    return RunStarted(
        thread="t",
        seq=seq,
        version=2,
        run=run,
        message="a",
        model="m",
        instance="i",
        prompt_tokens=1,
        reused_tokens=0,
        sampling=Sampling(),
        by=BY,
    )


def delta(start: int, to: int, text: str, run: str = "r") -> RunDelta:
    return RunDelta(thread="t", run=run, start=start, to=to, text=text)


def finished(seq: int, content: str) -> RunFinished:
    end = message(content=content, run="r")
    return RunFinished(
        thread="t",
        seq=seq,
        version=2,
        run="r",
        reason="stop",
        message=end,
        usage=Usage(1, 1, 0),
        timings=Timings(0, 0, 0, 0),
    )


def streaming(content: str = "") -> Replica:
    """A copy in which the run ``r`` has just begun behind ``content``."""
    return followed(joined(whole(thread(message(content=content)))), started())


def text(replica: Replica) -> str:
    return replica.thread.messages[0].content


def test_a_copy_knows_how_far_it_has_come() -> None:
    now = streaming("Once")
    assert since_of(now) == Since("e", 1, "r", 0)
    now = followed(now, delta(0, 2, " upon"))
    assert (since_of(now), now.before) == (Since("e", 1, "r", 2), 4)
    assert since_of(followed(now, finished(2, "Once upon"))) == Since("e", 2, None, 0)


def test_who_joins_in_the_middle_knows_as_much_as_who_was_there() -> None:
    there = followed(streaming("Once"), delta(0, 2, " upon"))
    stored = message(content="Once", state="streaming", run="r")
    late = joined(whole(thread(stored, seq=1, version=2), RunSnapshot("r", "a", 0, 2, " upon")))
    assert late == there


def test_a_delta_that_does_not_touch_is_noticed() -> None:
    now = followed(streaming(), delta(0, 2, "One"))
    for odd in (delta(3, 4, "x"), delta(1, 2, "x"), delta(2, 3, "x", run="other")):
        with pytest.raises(ProtocolError, match="up to token 2"):
            followed(now, odd)


def test_an_event_that_is_held_already_changes_nothing() -> None:
    now = followed(streaming(), delta(0, 2, "One"))
    assert followed(now, started()) is now


def test_what_was_missed_is_applied_and_the_text_goes_on() -> None:
    cut = followed(streaming("Once"), delta(0, 2, " upon"))
    appended = ThreadMutated(thread="t", seq=2, version=2, ops=(Appended(message("b")),), by=BY, updated_at="now")
    there = followed(followed(cut, appended), delta(2, 3, " a time"))
    assert resumed(cut, rest(2, appended, run=RunSnapshot("r", "a", 2, 3, " a time"))) == there


def test_text_that_nobody_vouches_for_is_replaced() -> None:
    cut = followed(streaming("Once"), delta(0, 2, " upom"))
    now = resumed(cut, rest(1, run=RunSnapshot("r", "a", 0, 1, " upon")))
    assert (text(now), now.to) == ("Once upon", 1)


def test_a_run_that_began_while_one_was_away_is_told_from_its_beginning() -> None:
    cut = joined(whole(thread(message(content="Once"))))
    now = resumed(cut, rest(1, started(), run=RunSnapshot("r", "a", 0, 2, " upon")))
    assert now == followed(streaming("Once"), delta(0, 2, " upon"))


def test_a_run_that_ended_while_one_was_away_left_its_whole_message() -> None:
    cut = followed(streaming(), delta(0, 1, "One"))
    end = finished(2, "One two")
    assert resumed(cut, rest(2, end)) == followed(followed(cut, delta(1, 2, " two")), end)


def test_a_recovered_run_replaces_its_text() -> None:
    cut = followed(streaming("Once"), delta(0, 9, " upon a time there"))
    event = RunRecovered(thread="t", seq=2, version=2, run="r", message="a", to=2, text=" upon", content="Once upon")
    now = followed(cut, event)
    assert (text(now), now.to, now.before) == ("Once upon", 2, 4)
    assert now == resumed(cut, rest(2, event, run=RunSnapshot("r", "a", 0, 2, " upon")))
    assert text(followed(now, delta(2, 3, " a"))) == "Once upon a"


def test_a_copy_that_cannot_be_caught_up_begins_anew() -> None:
    cut = followed(streaming(), delta(0, 1, "One"))
    new = thread(message("z", "else"), epoch="e2", seq=7)
    assert resumed(cut, whole(new)) == Replica(new)


def test_a_message_that_the_copy_does_not_hold_is_still_followed() -> None:
    now = followed(joined(whole(thread())), started())
    now = resumed(followed(now, delta(0, 1, "One")), rest(1, run=RunSnapshot("r", "a", 1, 2, " two")))
    assert (now.thread.messages, now.to) == ((), 2)


def test_residency_moves_no_position() -> None:
    now = followed(streaming(), delta(0, 1, "One"))
    there = ThreadResidency(thread="t", residency="live")
    assert followed(now, there) == replace(now, thread=replace(now.thread, residency="live"))


@pytest.mark.parametrize(
    "ok",
    [
        rest(2),
        rest(1, epoch="other"),
        rest(1, run=RunSnapshot("r", "a", 2, 3, "x")),
        rest(1, run=RunSnapshot("s", "a", 0, 3, "x")),
        SubscribeOk(epoch="e", seq=1, version=1, recovered=False),
    ],
)
def test_a_reply_that_does_not_fit_the_copy_is_noticed(ok: SubscribeOk) -> None:
    with pytest.raises(ProtocolError):
        resumed(followed(streaming(), delta(0, 1, "One")), ok)


def test_events_of_a_type_that_is_not_known_are_passed_over() -> None:
    ok = SubscribeOk(epoch="e", seq=1, version=2, recovered=True, events=({"type": "thread.shone", "thread": "t"},))
    assert resumed(streaming(), ok) == streaming()
