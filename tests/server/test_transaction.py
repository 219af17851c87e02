from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from livethread.errors import CommandError, ErrorCode
from livethread.messages import Append, Draft, RunQueued, ThreadMutated, ThreadUpdated
from livethread.model import Principal
from livethread_server.mutation import mutate
from livethread_server.transaction import Transaction, given
from tests.fakes import a_run, a_thread, a_turn

BY = Principal("alice", "Alice")
TURNS = (a_turn(1), a_turn(2))


def begun() -> Transaction:
    return Transaction(a_thread(version=3, seq=7), TURNS)


def test_each_mutation_is_one_version_and_each_event_one_seq() -> None:
    transaction = begun()
    transaction.mutate(mutate(TURNS, (Append(Draft("user", "x", id="n")),), BY, "now"), BY)
    transaction.update({"title": "T"}, BY)
    transaction.tell(RunQueued, run="r", position=1)
    assert [(type(e), e.seq, e.version) for e in transaction.events] == [
        (ThreadMutated, 8, 4),
        (ThreadUpdated, 9, 5),
        (RunQueued, 10, 5),
    ]
    assert (transaction.thread.version, transaction.thread.seq, transaction.thread.title) == (5, 10, "T")


def test_a_change_says_what_was_what_differs_and_what_to_tell() -> None:
    transaction = begun()
    transaction.put(a_turn(2, "said", (1,)))
    transaction.keep(a_run())
    transaction.tell(RunQueued, run="r", position=1)
    change = transaction.change()
    assert (change.was_version, change.was_seq) == (3, 7)
    assert (change.put, change.drop) == ((a_turn(2, "said", (1,)),), ())
    assert [record.run.id for record in change.runs] == ["r"]
    assert msgspec.json.decode(change.events[0].body)["type"] == "run.queued"


def test_only_the_version_at_the_beginning_counts() -> None:
    transaction = begun()
    transaction.update({"title": "T"}, BY)
    transaction.expect(3)
    transaction.expect(None)
    with pytest.raises(CommandError) as caught:
        transaction.expect(4)
    assert caught.value.code is ErrorCode.VERSION_CONFLICT
    assert caught.value.details == {"version": 3, "expect_version": 4}


def test_what_was_not_given_is_left_out_and_null_is_given() -> None:
    assert given(a=UNSET, b=None, c=1) == {"b": None, "c": 1}
