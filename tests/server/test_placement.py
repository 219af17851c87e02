from __future__ import annotations

import pytest

from livethread.errors import CommandError
from livethread.model import Principal
from livethread_server.placement import place, touches
from tests.fakes import a_turn

BY = Principal("alice", "Alice")
USER, ASSISTANT = a_turn(1, id="u"), a_turn(2, "said", (5,), id="a", role="assistant")


def test_a_reply_comes_last_whatever_was_last() -> None:
    for turns in ((), (USER,), (USER, ASSISTANT)):
        placed = place(turns, "reply", "r", BY, "now")
        assert placed.mutation.turns[:-1] == turns
        assert (placed.message.role, placed.message.state, placed.message.run) == ("assistant", "queued", "r")


def test_a_regeneration_takes_the_place_of_the_last_assistant_message() -> None:
    placed = place((USER, ASSISTANT), "regenerate", "r", BY, "now")
    assert [turn.message.id for turn in placed.mutation.turns] == ["u", placed.message.id]
    assert placed.before is ASSISTANT


def test_a_regeneration_behind_a_user_is_a_reply() -> None:
    assert place((USER,), "regenerate", "r", BY, "now").mode == "reply"


def test_going_on_keeps_id_content_and_token_ids() -> None:
    placed = place((USER, ASSISTANT), "continue", "r", BY, "now")
    turn = placed.mutation.turns[-1]
    assert (turn.message.id, turn.message.content, turn.tokens) == ("a", "said", (5,))
    assert (turn.message.state, turn.message.run) == ("queued", "r")


@pytest.mark.parametrize("turns", [(), (USER,)])
def test_there_must_be_something_to_go_on_with(turns: tuple[()]) -> None:
    with pytest.raises(CommandError, match="continue"):
        place(turns, "continue", "r", BY, "now")


def test_only_what_stands_before_or_on_an_unfinished_message_touches_it() -> None:
    before = (USER, ASSISTANT)
    behind = a_turn(3, id="n")
    assert not touches(before, (*before, behind), 2)
    assert touches(before, (USER,), 2)
    assert touches(before, (a_turn(0, id="n"), *before), 2)
    assert not touches((*before, behind), before, 2)
    assert not touches(before, (), 0)
