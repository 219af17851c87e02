from __future__ import annotations

from livethread_server.worker.asker_turns import AskerTurns


def turns_of(*askers: str) -> AskerTurns[str]:
    """Askers, each of the tenant that is his first letter."""
    turns = AskerTurns[str]()
    for asker in askers:
        turns.add(asker[0], asker)
    return turns


def test_tenants_take_turns_and_the_askers_of_each_do() -> None:
    turns = turns_of("a1", "a2", "a3", "b1")
    assert [turns.take(again=True) for _ in range(8)] == ["a1", "b1", "a2", "b1", "a3", "b1", "a1", "b1"]


def test_who_has_had_enough_is_gone() -> None:
    turns = turns_of("a1", "b1", "a2")
    assert [turns.take(again=False) for _ in range(3)] == ["a1", "b1", "a2"]
    assert not turns


def test_who_gives_up_is_gone() -> None:
    turns = turns_of("a1", "b1", "a2")
    turns.remove("a", "a1")
    turns.remove("b", "b1")
    turns.remove("b", "b1")
    turns.remove("c", "c1")
    assert (turns.first, turns.take(again=True), turns.take(again=True)) == ("a2", "a2", "a2")
