from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from livethread.messages import DurableEvent, RunFinished, RunRecovered, RunStarted, ThreadMutated
from livethread.model import STATE_OF_REASON, Principal, Reason, Sampling
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Delta, Finished, Started
from livethread_server.live_run import LiveRun
from livethread_server.mutation import RunUndo, plan_undo
from livethread_server.placement import place
from livethread_server.store.base import Turn
from livethread_server.transaction import Transaction
from tests.fakes import a_run, a_thread, a_turn

BY = Principal("alice", "Alice")
USER, OLD = a_turn(1, id="u"), a_turn(2, "old", (9,), id="a", role="assistant")
BEFORE = (USER, OLD)


def as_they_are(content: str, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
    return tokens


def placed(mode: str) -> tuple[LiveRun, Transaction]:
    """A run on a thread of a user's and an assistant's message, and the transaction behind its acceptance."""
    put = place(BEFORE, mode, "r", BY, "now")  # type: ignore[arg-type]
    undo = plan_undo(BEFORE, put.mutation.turns)
    record = a_run(
        undo=msgspec.json.encode(RunUndo(undo, undo)),
        base="old" if mode == "continue" else "",
        base_tokens=(9,) if mode == "continue" else None,
    )
    shown = msgspec.structs.replace(record.run, message=put.message.id, mode=put.mode)
    run = LiveRun(msgspec.structs.replace(record, run=shown), Sampling(seed=1), Sampling(seed=1), "s")
    return run, Transaction(a_thread(), put.mutation.turns)


def contents(turns: tuple[Turn, ...]) -> list[tuple[str, str, tuple[int, ...] | None]]:
    return [(turn.message.content, turn.message.state, turn.tokens) for turn in turns]


def test_deltas_touch_and_a_snapshot_holds_what_they_said() -> None:
    run, transaction = placed("reply")
    assert (run.state, run.snapshot()) == ("queued", None)
    run.start(transaction, Started(5, 2, 0.0, 0.0), "i")
    deltas = [run.extend(Delta((1, 2), "One ")), run.extend(Delta((3,), "two"))]
    assert [(delta.start, delta.to, delta.text) for delta in deltas] == [(0, 2, "One "), (2, 3, "two")]
    snapshot = run.snapshot()
    assert snapshot is not None
    assert (snapshot.start, snapshot.to, snapshot.text, run.state) == (0, 3, "One two", "running")


def starts(run: LiveRun, *told: int) -> list[int]:
    """From where text is told to those who were told so many tokens."""
    snapshots = [run.snapshot(one) for one in told]
    return [snapshot.start for snapshot in snapshots if snapshot is not None]


def test_who_was_told_so_far_is_told_the_rest() -> None:
    run, transaction = placed("reply")
    run.start(transaction, Started(5, 2, 0.0, 0.0), "i")
    for delta in (Delta((1, 2), "One "), Delta((3,), "two"), Delta((), " th"), Delta((4,), "ree")):
        run.extend(delta)
    assert starts(run, 0, 1, 2, 3, 4, 5) == [0, 0, 2, 0, 4, 0]
    assert [snapshot.text for snapshot in (run.snapshot(2), run.snapshot(3)) if snapshot] == [
        "two three",
        "One two three",
    ]


def test_a_recovered_run_vouches_only_for_what_it_told_itself() -> None:
    started = RunStarted(
        thread="t",
        seq=1,
        version=1,
        run="r",
        message="m1",
        model="smol",
        instance="i",
        prompt_tokens=5,
        reused_tokens=0,
        sampling=Sampling(),
        by=BY,
    )
    record = a_run(text="One (", tokens=(1, 2), started=msgspec.json.encode(started))
    run = LiveRun.recovered(record, "")
    run.remember_start()
    assert starts(run, 0, 2) == [0, 0]
    run.start(Transaction(a_thread(), (a_turn(1),)), Started(5, 2, 0.0, 0.0), "i")
    run.extend(Delta((3,), "two)"))
    assert starts(run, 0, 1, 2, 3) == [0, 0, 2, 3]
    whole = run.snapshot(0)
    assert whole is not None
    assert whole.text == "One (two)"


def test_a_start_tells_what_it_was_given_and_costs_no_version() -> None:
    run, transaction = placed("reply")
    run.start(transaction, Started(5, 2, 0.0, 0.0), "i")
    (event,) = transaction.events
    assert isinstance(event, RunStarted)
    assert (event.prompt_tokens, event.reused_tokens, event.sampling.seed, event.instance) == (5, 2, 1, "i")
    assert event.version == a_thread().version
    assert transaction.turn(run.message).message.state == "streaming"
    assert transaction.turn(run.message).message.content == ""


@pytest.mark.parametrize("reason", STATE_OF_REASON)
def test_every_reason_leaves_the_message_in_its_state(reason: Reason) -> None:
    run, transaction = placed("reply")
    run.extend(Delta((1,), "Hi"))
    run.finish(transaction, reason, as_they_are, Finished(reason, 4, None, 0.0))
    assert contents(transaction.turns)[-1] == ("Hi", STATE_OF_REASON[reason], (1,))
    (event,) = transaction.events
    assert isinstance(event, RunFinished)
    assert (event.reason, event.usage.completion_tokens) == (reason, 4)
    assert event.message == transaction.turns[-1].message


def test_going_on_adds_text_and_ids_to_what_was_there() -> None:
    run, transaction = placed("continue")
    run.extend(Delta((1, 2), " and new"))
    run.finish(transaction, "stop", as_they_are)
    assert contents(transaction.turns)[-1] == ("old and new", "done", (9, 1, 2))


def kinds(events: list[DurableEvent]) -> list[type[DurableEvent]]:
    return [type(event) for event in events]


def test_a_regeneration_that_brought_nothing_puts_the_old_message_back_after_its_end() -> None:
    run, transaction = placed("regenerate")
    run.finish(transaction, "stop", as_they_are)
    assert transaction.turns == BEFORE
    assert kinds(transaction.events) == [RunFinished, ThreadMutated]


@pytest.mark.parametrize("mode", ["reply", "continue", "regenerate"])
@pytest.mark.parametrize("text", ["", "Hi"])
def test_rolling_back_gives_back_what_was_whatever_was_said(mode: str, text: str) -> None:
    run, transaction = placed(mode)
    if text:
        run.extend(Delta((1,), text))
    run.finish(transaction, "interrupted", as_they_are)
    run.roll_back(transaction)
    assert transaction.turns == BEFORE
    assert len(transaction.events) == 2


def test_a_finished_run_is_kept_with_what_it_said() -> None:
    run, transaction = placed("reply")
    run.extend(Delta((1,), "Hi"))
    run.finish(transaction, "stop", as_they_are)
    (record,) = transaction.change().runs
    assert (record.run.state, record.run.reason, record.text, record.tokens) == ("finished", "stop", "Hi", (1,))


def left_behind(mode: str, text: str, tokens: tuple[int, ...]) -> tuple[LiveRun, Transaction]:
    """A run that had started when the server died an hour after its acceptance, taken up by the next one."""
    run, transaction = placed(mode)
    run.start(transaction, Started(5, 2, 0.0, 0.0), "i")
    record = msgspec.structs.replace(run.record, text=text, tokens=tokens, accepted_at=an_hour_ago())
    run = LiveRun.recovered(record, "")
    run.remember_start()
    return run, Transaction(transaction.thread, transaction.turns)


def an_hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("mode", "content"), [("reply", " two"), ("continue", "old two"), ("regenerate", " two")])
def test_a_recovered_run_tells_where_it_goes_on(mode: str, content: str) -> None:
    run, transaction = left_behind(mode, " two", (1, 2))
    before = transaction.turns
    run.start(transaction, Started(5, 4, 0.0, 0.0), "another")
    (event,) = transaction.events
    assert isinstance(event, RunRecovered)
    assert (event.message, event.to, event.text, event.content) == (run.message, 2, " two", content)
    assert (transaction.turns, transaction.thread.version) == (before, a_thread().version)
    delta = run.extend(Delta((3,), " three"))
    assert (delta.start, delta.to) == (2, 3)
    run.finish(transaction, "stop", as_they_are)
    assert contents(transaction.turns)[-1][0] == content + " three"


@pytest.mark.parametrize(("text", "tokens", "completion"), [("", (), 1), ("Hi", (1, 2), 2)])
def test_a_recovered_run_counts_what_was_before_the_crash(text: str, tokens: tuple[int, ...], completion: int) -> None:
    run, transaction = left_behind("reply", text, tokens)
    moment = time.monotonic()
    run.finish(transaction, "stop", as_they_are, Finished("stop", 1, moment, moment))
    (event,) = transaction.events
    assert isinstance(event, RunFinished)
    assert (event.usage.prompt_tokens, event.usage.reused_tokens) == (5, 2)
    assert event.usage.completion_tokens == completion
    whole = event.timings.first_token_ms + event.timings.generate_ms
    assert 3_600_000 <= whole < 3_700_000
    assert (event.timings.first_token_ms == 0) is bool(tokens)


def test_a_run_that_has_started_is_behind_no_other() -> None:
    run, _ = left_behind("reply", "Hi", (1,))
    run.outputs = RunOutputs("r")
    run.outputs.position = 3
    assert (run.run().state, run.run().position) == ("running", 0)
