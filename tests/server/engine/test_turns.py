from __future__ import annotations

import pytest

from livethread.model import Sampling
from livethread_server.engine.turns import Turns, fits_share
from livethread_server.engine.wire import Submit


def of(run: str) -> Submit:
    """A run whose first letter is its tenant."""
    return Submit(run=run, thread="~", tenant=run[0], tokens=(1,), sampling=Sampling(), side=True)


def filled(*runs: str, fair: bool = True) -> Turns:
    turns = Turns(fair=fair)
    for run in runs:
        turns.add(of(run))
    return turns


def taken(turns: Turns) -> list[str]:
    """All of them; what was said of their order holds at every step."""
    runs = []
    while turns:
        foretold = [submit.run for submit in turns]
        assert (len(turns), turns.first.run) == (len(foretold), foretold[0])
        runs.append(turns.take().run)
        assert [submit.run for submit in turns] == foretold[1:]
    return runs


def test_tenants_take_turns_and_each_ones_own_stay_in_order() -> None:
    assert taken(filled("a1", "a2", "a3", "b1", "b2", "c1")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_had_a_turn_comes_after_those_who_came_meanwhile() -> None:
    turns = filled("a1", "a2", "a3")
    assert turns.take().run == "a1"
    turns.add(of("b1"))
    assert taken(turns) == ["a2", "b1", "a3"]


def test_without_fairness_whoever_comes_first_is_served_first() -> None:
    assert taken(filled("a1", "a2", "b1", fair=False)) == ["a1", "a2", "b1"]


def test_those_that_come_back_are_before_all_others_in_their_order() -> None:
    turns = filled("a3", "b2")
    turns.put_back([of("a1"), of("a2"), of("b1")])
    assert [turns.count(of("a9")), turns.count(of("b9")), turns.count(of("c9"))] == [3, 2, 0]
    assert taken(turns) == ["a1", "a2", "b1", "a3", "b2"]


def test_one_that_is_taken_out_leaves_the_order_of_the_others() -> None:
    turns = filled("a1", "a2", "b1", "c1")
    turns.put_back([of("d1")])
    assert [turns.remove(run) for run in ("a1", "b1", "d1", "b1")] == [True, True, True, False]
    assert taken(turns) == ["a2", "c1"]


def test_nobody_is_first_where_nobody_waits() -> None:
    with pytest.raises(IndexError):
        _ = Turns(fair=True).first


def test_one_who_is_alone_has_the_whole_bound_and_leaves_as_much_to_the_others() -> None:
    assert [fits_share(mine, mine, 4) for mine in (4, 5)] == [True, False]
    assert [fits_share(mine, 4 + mine, 4) for mine in (2, 3)] == [True, False]
    assert [fits_share(mine, 6 + mine, 4) for mine in (1, 2)] == [True, False]
    assert not fits_share(1, 1, 0)
