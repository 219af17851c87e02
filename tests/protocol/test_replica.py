"""A snapshot plus the events after it is the server's state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from livethread.errors import ProtocolError
from livethread.messages import (
    Appended,
    AppliedOp,
    Deleted,
    Edited,
    ErrorBody,
    Inserted,
    RunDelta,
    RunFinished,
    RunProgress,
    RunQueued,
    RunRecovered,
    RunSnapshot,
    RunStarted,
    ThreadDeleted,
    ThreadMutated,
    ThreadResidency,
    ThreadUpdated,
    Truncated,
)
from livethread.model import Message, Principal, Sampling, Thread, Timings, Usage
from livethread.replica import apply, begin

BY = Principal("p", "P")


def message(id_: str, content: str = "", **fields: Any) -> Message:
    return Message(id=id_, role="user", content=content, created_at="then", **fields)


def thread(*messages: Message, **fields: Any) -> Thread:
    settled: dict[str, Any] = {"version": 1, "seq": 0, "created_at": "then", "updated_at": "then"}
    return Thread(id="t", model="m", epoch="e", owner="p", messages=messages, **(settled | fields))


def mutated(seq: int, *ops: AppliedOp) -> ThreadMutated:
    return ThreadMutated(thread="t", seq=seq, version=seq + 1, ops=ops, by=BY, updated_at=f"at {seq}")


def started(seq: int, run: str, message: str) -> RunStarted:
    return RunStarted(
        thread="t",
        seq=seq,
        version=2,
        run=run,
        message=message,
        model="m",
        instance="i",
        prompt_tokens=1,
        reused_tokens=0,
        sampling=Sampling(),
        by=BY,
    )


def finished(seq: int, run: str, whole: Message) -> RunFinished:
    return RunFinished(
        thread="t",
        seq=seq,
        version=2,
        run=run,
        reason="stop",
        message=whole,
        usage=Usage(1, 1, 0),
        timings=Timings(0, 0, 0, 0),
        error=ErrorBody("internal", "No.", False),
    )


def test_settings_change_only_where_they_are_told() -> None:
    before = thread(title="Old", metadata={"a": 1})
    event = ThreadUpdated(thread="t", seq=1, version=2, title=None, pinned=True, updated_at="now", by=BY)
    after = apply(before, event)
    assert after == replace(before, title=None, pinned=True, seq=1, version=2, updated_at="now")


def test_a_run_fills_its_message_and_the_end_replaces_it() -> None:
    now = apply(thread(), mutated(1, Appended(message("a", state="queued"))))
    now = apply(now, RunQueued(thread="t", seq=2, version=2, run="r", position=1))
    now = apply(now, started(3, "r", "a"))
    assert (now.messages[0].state, now.messages[0].run) == ("streaming", "r")
    now = apply(now, RunProgress(thread="t", run="r", cached=0, processed=1, total=1))
    now = apply(now, RunDelta(thread="t", run="r", start=0, to=1, text="Good"))
    now = apply(now, RunDelta(thread="t", run="r", start=1, to=2, text=" day"))
    assert now.messages[0].content == "Good day"
    whole = message("a", "Good day.", run="r", state="done")
    now = apply(now, finished(4, "r", whole))
    assert (now.messages, now.seq) == ((whole,), 4)


def test_a_continued_message_keeps_what_it_held() -> None:
    now = apply(thread(message("a", "Once", run="old")), started(1, "r", "a"))
    now = apply(now, RunDelta(thread="t", run="r", start=0, to=1, text=" upon"))
    assert now.messages[0].content == "Once upon"


def recovered(seq: int, text: str, content: str) -> RunRecovered:
    return RunRecovered(thread="t", seq=seq, version=2, run="r", message="a", to=len(text), text=text, content=content)


@pytest.mark.parametrize("shown", ["", " upon", " upon a time there", " never"])
def test_a_recovered_run_replaces_the_text_that_was_shown(shown: str) -> None:
    now = apply(thread(message("a", "Once", run="old")), started(1, "r", "a"))
    now = apply(now, RunDelta(thread="t", run="r", start=0, to=1, text=shown))
    now = apply(now, recovered(2, " upon", "Once upon"))
    assert (now.messages[0].content, now.messages[0].state, now.messages[0].run) == ("Once upon", "streaming", "r")
    now = apply(now, RunDelta(thread="t", run="r", start=5, to=6, text=" a"))
    assert now.messages[0].content == "Once upon a"


def test_who_comes_back_before_a_run_goes_on_sees_what_the_others_see() -> None:
    streaming = message("a", "Once", run="r", state="streaming")
    early = begin(thread(streaming), RunSnapshot("r", "a", 0, 5, " upon"))
    assert apply(early, recovered(1, " upon", "Once upon")).messages == early.messages


def test_a_snapshot_of_a_streaming_thread_joins_the_stream_where_it_is() -> None:
    streaming = message("a", "Once", run="r", state="streaming")
    early = begin(thread(streaming), UNSET)
    early = apply(early, RunDelta(thread="t", run="r", start=0, to=1, text=" upon"))
    late = begin(thread(streaming), RunSnapshot("r", "a", 0, 1, " upon"))
    assert early == late
    delta = RunDelta(thread="t", run="r", start=1, to=2, text=" a time")
    assert apply(early, delta) == apply(late, delta)


def test_residency_is_told_without_a_seq() -> None:
    assert apply(thread(), ThreadResidency(thread="t", residency="disk")) == thread(residency="disk")


def test_an_event_that_is_held_already_changes_nothing() -> None:
    now = thread(message("a"), seq=5)
    assert apply(now, mutated(5, Truncated(None))) is now


def test_a_missing_event_is_noticed() -> None:
    with pytest.raises(ProtocolError, match="seq 7"):
        apply(thread(seq=5), mutated(7))


def test_a_deleted_thread_is_left_as_it_was() -> None:
    now = apply(thread(message("a")), ThreadDeleted(thread="t", seq=1, version=1, by=BY))
    assert now == thread(message("a"), seq=1)


def test_text_of_a_run_whose_message_is_gone_goes_nowhere() -> None:
    now = thread(message("a"))
    assert apply(now, RunDelta(thread="t", run="r", start=0, to=1, text="x")) == now
    assert apply(now, started(1, "r", "b")).messages == now.messages
    assert apply(thread(message("b")), recovered(1, "x", "x")).messages == (message("b"),)
    assert apply(now, finished(1, "r", message("b"))).messages == now.messages


class Server:
    """A thread as a list, changed by one random choice at a time."""

    def __init__(self) -> None:
        self.messages = [message(f"m{number}") for number in range(6)]
        self.made = 6

    def change(self, choice: int, place: int) -> AppliedOp:
        """Make one change and say how it is told."""
        if choice == 0 or not self.messages:
            self.messages.append(self._new())
            return Appended(self.messages[-1])
        index = place % len(self.messages)
        there = self.messages[index]
        if choice == 1:
            self.messages.insert(index, self._new())
            return Inserted(there.id, self.messages[index])
        if choice == 2:
            self.messages[index] = replace(there, content=f"edited {place}")
            return Edited(self.messages[index])
        if choice == 3:
            del self.messages[index]
            return Deleted(there.id)
        del self.messages[index + 1 :]
        return Truncated(there.id)

    def _new(self) -> Message:
        self.made += 1
        return message(f"m{self.made}")


CHANGES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), max_size=30)


@given(CHANGES, st.integers(0, 30), st.integers(1, 6))
def test_whoever_joins_whenever_sees_the_same(changes: list[tuple[int, int]], join: int, held: int) -> None:
    server = Server()
    early = thread(*server.messages)
    cut = thread(*server.messages[-held:])
    late: Thread | None = None
    for seq, (choice, place) in enumerate(changes, 1):
        event = mutated(seq, server.change(choice, place))
        early, cut = apply(early, event), apply(cut, event)
        late = apply(late, event) if late else late
        if seq == join:
            late = thread(*server.messages, seq=seq, version=seq + 1)
            late = replace(late, updated_at=f"at {seq}")
        assert early.messages == tuple(server.messages)
        assert late is None or late == early
        assert cut.messages == early.messages[len(early.messages) - len(cut.messages) :]
