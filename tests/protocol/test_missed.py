"""What readers are told late is what they would have been told."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from livethread.errors import ProtocolError
from livethread.messages import (
    Appended,
    DurableEvent,
    Event,
    RunDelta,
    RunFinished,
    RunRecovered,
    RunSnapshot,
    RunStarted,
    SubscribeOk,
    ThreadMutated,
)
from livethread.missed import ThreadReplaced, missed, replaced, taken, text_of
from livethread.model import Message, Principal, Sampling, Thread, Timings, Usage
from livethread.resume import Replica, followed, resumed

BY = Principal("p", "P")
WORDS = ("One", " two", "", " three")


def message(content: str = "", **fields: Any) -> Message:
    return Message(id="a", role="assistant", content=content, created_at="then", **fields)


def begun(content: str = "") -> Replica:
    return Replica(
        Thread(
            id="t",
            model="m",
            version=1,
            seq=0,
            epoch="e",
            owner="p",
            messages=(message(content),),
            created_at="then",
            updated_at="then",
        )
    )


def durable(kind: type[Any], seq: int, **fields: Any) -> Any:
    return kind(thread="t", seq=seq, version=2, **fields)


def started(seq: int = 1) -> RunStarted:
    one: RunStarted = durable(
        RunStarted,
        seq,
        run="r",
        message="a",
        model="m",
        instance="i",
        prompt_tokens=1,
        reused_tokens=0,
        sampling=Sampling(),
        by=BY,
    )
    return one


def delta(start: int, *words: str) -> RunDelta:
    return RunDelta(thread="t", run="r", start=start, to=start + len(words), text="".join(words))


def finished(seq: int, content: str) -> RunFinished:
    usage = Usage(1, 5, 0)
    end = message(content, run="r", state="done", reason="stop", usage=usage)
    one: RunFinished = durable(
        RunFinished, seq, run="r", reason="stop", message=end, usage=usage, timings=Timings(0, 0, 0, 0)
    )
    return one


def appended(seq: int, name: str) -> ThreadMutated:
    more = Message(id=name, role="user", content="More", created_at="then")
    one: ThreadMutated = durable(ThreadMutated, seq, ops=(Appended(more),), by=BY, updated_at=f"at {seq}")
    return one


STORY: tuple[Event, ...] = (
    started(1),
    delta(0, WORDS[0]),
    appended(2, "b"),
    delta(1, WORDS[1], WORDS[2]),
    delta(3, WORDS[3]),
    finished(3, "Say: " + "".join(WORDS)),
    appended(4, "c"),
)


def answer(cut: Replica, now: Replica, told: tuple[Event, ...], **run: Any) -> SubscribeOk:
    """What a server says to whoever comes back from ``cut`` when it has told what made ``now``."""
    events = [event for event in told if isinstance(event, DurableEvent) and event.seq > cut.thread.seq]
    return SubscribeOk(
        epoch="e",
        seq=now.thread.seq,
        version=2,
        recovered=True,
        events=tuple(map(msgspec.to_builtins, events)),
        **run,
    )


def streams(now: Replica, start: int) -> dict[str, Any]:
    if now.run is None:
        return {}
    return {"run": RunSnapshot("r", "a", start, now.to, "".join(WORDS[start : now.to]))}


@given(st.integers(0, len(STORY)), st.integers(0, len(STORY)), st.booleans())
def test_late_events_lead_to_where_the_others_are(one: int, other: int, vague: bool) -> None:
    early, late = sorted((one, other))
    cut = reduce(followed, STORY[:early], begun("Say: "))
    now = reduce(followed, STORY[:late], begun("Say: "))
    start = 0 if vague or cut.run != now.run else cut.to
    ok = answer(cut, now, STORY[:late], **streams(now, start))
    events = missed(cut, ok)
    assert reduce(taken, events, cut) == resumed(cut, ok) == now
    had = [event for event in STORY[:early] if isinstance(event, RunDelta)]
    deltas = [*had, *(event for event in events if isinstance(event, RunDelta))]
    assert all(before.to == behind.start for before, behind in pairwise(deltas))
    said = "".join(event.text for event in deltas)
    assert now.thread.messages[0].content == "Say: " + said
    assert not any(isinstance(event, ThreadReplaced) for event in events)


@given(st.integers(0, len(STORY)), st.integers(0, len(STORY)))
def test_where_the_whole_thread_comes_the_text_still_joins_on(one: int, other: int) -> None:
    early, late = sorted((one, other))
    cut = reduce(followed, STORY[:early], begun("Say: "))
    now = reduce(followed, STORY[:late], begun("Say: "))
    run = streams(now, 0).get("run", UNSET)
    *before, last = replaced(cut, now.thread, run)
    assert last == ThreadReplaced(thread="t", value=now.thread, streaming=None if run is UNSET else run)
    if cut.run is not None:
        reached = reduce(taken, before, cut)
        assert "Say: " + text_of(reached) == now.thread.messages[0].content


def test_a_run_that_a_restart_set_back_is_told_whole() -> None:
    cut = reduce(followed, (started(), delta(0, "One", " two")), begun())
    back = RunSnapshot("r", "a", 0, 1, "One")
    ok = answer(cut, cut, (), run=back)
    (event,) = missed(cut, ok)
    assert isinstance(event, ThreadReplaced)
    assert (event.streaming, event.value.messages[0].content) == (back, "One")
    assert taken(cut, event) == resumed(cut, ok)


def test_a_recovered_run_goes_on_from_what_it_was_set_back_to() -> None:
    cut = reduce(followed, (started(), delta(0, "One", " two", " five")), begun())
    again = durable(RunRecovered, 2, run="r", message="a", to=1, text="One", content="One")
    now = reduce(followed, (again, delta(1, " two", " three")), cut)
    ok = answer(cut, now, (again,), run=RunSnapshot("r", "a", 0, 3, "One two three"))
    assert missed(cut, ok) == (again, delta(1, " two", " three"))
    assert reduce(taken, missed(cut, ok), cut) == resumed(cut, ok) == now


def test_an_answer_that_does_not_fit_is_refused() -> None:
    cut = reduce(followed, (started(), delta(0, "One")), begun())
    for run in (RunSnapshot("r", "a", 3, 4, "x"), RunSnapshot("other", "a", 0, 4, "x")):
        with pytest.raises(ProtocolError):
            missed(cut, answer(cut, cut, (), run=run))


def test_what_is_held_already_and_what_is_not_known_is_left_out() -> None:
    cut = reduce(followed, STORY[:3], begun())
    ok = replace(answer(cut, cut, ()), events=({"type": "run.sang", "seq": 3}, msgspec.to_builtins(appended(2, "b"))))
    assert missed(cut, ok) == ()
