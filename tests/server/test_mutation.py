from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.errors import CommandError, ErrorCode
from livethread.messages import Append, Delete, Deleted, Draft, Edit, Insert, Inserted, Op, Truncate
from livethread.model import Principal
from livethread_server.mutation import Mutation, changes, mutate, plan_undo, undo
from livethread_server.store.base import Turn
from tests.fakes import a_turn

BY = Principal("alice", "Alice")
NOW = "2026-01-01T00:00:00.000000Z"


def run(turns: tuple[Turn, ...], *ops: Op) -> Mutation:
    return mutate(turns, ops, BY, NOW)


def ids(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.message.id for turn in turns]


THREE = tuple(a_turn(position << 32, id=f"m{position}") for position in (1, 2, 3))


def test_appended_messages_stand_at_the_end_with_who_and_when() -> None:
    done = run(THREE, Append(Draft("user", "four", id="m4")))
    assert ids(done.turns) == ["m1", "m2", "m3", "m4"]
    assert (done.turns[3].message.by, done.turns[3].message.created_at) == (BY, NOW)
    assert done.made == ("m4",)


def test_positions_rise_however_often_one_inserts_at_one_place() -> None:
    turns = THREE
    for number in range(100):
        turns = run(turns, Insert("m2", Draft("user", "x", id=f"x{number}"))).turns
    positions = [turn.position for turn in turns]
    assert positions == sorted(set(positions))
    assert ids(turns) == ["m1", *(f"x{number}" for number in range(100)), "m2", "m3"]


def test_an_edit_drops_the_token_ids_and_keeps_the_rest() -> None:
    turns = (a_turn(1, "old", (1, 2), id="a", metadata={"k": 1}),)
    edited = run(turns, Edit("a", "new")).turns[0]
    assert (edited.message.content, edited.tokens, edited.message.metadata) == ("new", None, {"k": 1})


def test_truncating_after_null_takes_out_everything() -> None:
    assert ids(run(THREE, Truncate("m1")).turns) == ["m1"]
    assert run(THREE, Truncate(None)).turns == ()


@pytest.mark.parametrize(
    "op",
    [Delete("x"), Edit("x", ""), Truncate("x"), Insert("x", Draft("user", ""))],
    ids=lambda op: type(op).__name__,
)
def test_a_message_that_is_not_there_is_named_with_its_field(op: Op) -> None:
    with pytest.raises(CommandError, match="'x'") as caught:
        run(THREE, Delete("m1"), op)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert caught.value.details["field"].startswith("ops[1].")


def test_a_message_id_that_is_in_use_is_refused_until_its_message_is_gone() -> None:
    with pytest.raises(CommandError) as caught:
        run(THREE, Append(Draft("user", "", id="m2")))
    assert caught.value.code is ErrorCode.EXISTS
    assert ids(run(THREE, Delete("m2"), Append(Draft("user", "", id="m2"))).turns) == ["m1", "m3", "m2"]


MESSAGES = st.sampled_from(["m1", "m2", "m3", "n1", "n2"])
OPS = st.one_of(
    st.builds(Append, st.builds(Draft, st.just("user"), st.text(max_size=3), st.none())),
    st.builds(Insert, MESSAGES, st.builds(Draft, st.just("user"), st.text(max_size=3), st.none())),
    st.builds(Edit, MESSAGES, st.text(max_size=3)),
    st.builds(Delete, MESSAGES),
    st.builds(Truncate, MESSAGES | st.none()),
)


@given(st.lists(OPS, max_size=6))
def test_undoing_any_mutation_gives_back_what_was(ops: list[Op]) -> None:
    try:
        after = run(THREE, *ops).turns
    except CommandError:
        return
    assert undo(after, plan_undo(THREE, after)).turns == THREE


@given(st.lists(OPS, max_size=6))
def test_changes_tell_a_store_exactly_what_differs(ops: list[Op]) -> None:
    try:
        after = run(THREE, *ops).turns
    except CommandError:
        return
    put, drop = changes(THREE, after)
    kept = {turn.message.id: turn for turn in THREE if turn.message.id not in drop}
    kept |= {turn.message.id: turn for turn in put}
    assert tuple(sorted(kept.values(), key=lambda turn: turn.position)) == after


def test_undoing_keeps_what_came_since_behind_what_returns() -> None:
    after = run(THREE, Truncate("m1"), Append(Draft("user", "", id="new"))).turns
    since = run(after, Append(Draft("user", "", id="since"))).turns
    back = undo(since, plan_undo(THREE, after)).turns
    assert ids(back) == ["m1", "m2", "m3", "since"]
    assert all(one.position < two.position for one, two in pairwise(back))


def test_undoing_brings_a_message_back_to_its_place_though_its_id_was_used_again() -> None:
    after = run(THREE, Delete("m1"), Append(Draft("user", "again", id="m1"))).turns
    done = undo(after, plan_undo(THREE, after))
    assert done.turns == THREE
    assert [type(op) for op in done.ops] == [Deleted, Inserted]


def test_undoing_after_new_positions_were_given_out_keeps_the_order() -> None:
    tight = (a_turn(100, id="m1"), a_turn(101, id="m2"))
    after = run(tight, Insert("m2", Draft("user", "", id="n"))).turns
    since = run(after, Append(Draft("user", "", id="since"))).turns
    assert ids(undo(since, plan_undo(tight, after)).turns) == ["m1", "m2", "since"]
