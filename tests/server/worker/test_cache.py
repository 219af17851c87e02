from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread.model import Sampling
from livethread_server.engine.wire import Submit
from livethread_server.worker.cache import WAIT, WORTH, Place, misplaced, place, upcoming
from livethread_server.worker.run import Run
from livethread_server.worker.sequence import Sequence


class Silent:
    """A sampler that is never asked."""

    def draw(self, logits: object, known: int | None = None) -> int:
        raise AssertionError("nobody draws here")

    def close(self) -> None:
        """Nothing to free."""


def a_run() -> Run:
    submit = Submit(run="r", thread="t", tenant="x", tokens=(1,), sampling=Sampling())
    return Run(submit, Silent(), reused=0, arrived_at=0, at=0)


def slots(*held: tuple[str, list[int]], empty: int = 0, tenant: str = "x") -> list[Sequence]:
    """Idle sequences of these threads with these tokens in KV, the first used longest ago."""
    every = [Sequence(number) for number in range(len(held) + empty)]
    for used, (sequence, (thread, tokens)) in enumerate(zip(every, held, strict=False)):
        sequence.thread, sequence.tenant, sequence.used = thread, tenant, used
        sequence.tokens, sequence.in_kv = list(tokens), len(tokens)
    return every


def chosen(every: list[Sequence], thread: str, tokens: list[int], *, cuttable: bool = True) -> Place | None:
    def can_keep(number: int, length: int) -> bool:
        return cuttable or length == every[number].in_kv

    return place(every, thread=thread, tenant="x", tokens=tokens, can_keep=can_keep)


LONG = list(range(100))


def test_the_next_turn_goes_on_in_the_threads_own_sequence() -> None:
    every = slots(("a", LONG), ("b", LONG))
    assert chosen(every, "a", [*LONG, 7, 8]) == Place(every[0], 100)


def test_an_edit_cuts_the_threads_own_sequence_at_the_first_difference() -> None:
    every = slots(("a", LONG))
    assert chosen(every, "a", [*LONG[:60], 7, 8]) == Place(every[0], 60)


def test_two_tokens_at_least_are_left_to_decode() -> None:
    every = slots(("a", LONG))
    assert chosen(every, "a", LONG) == Place(every[0], 98)
    assert chosen(every, "a", [0]) == Place(every[0], 0)


def test_a_fork_copies_the_prefix_of_another_thread() -> None:
    every = slots(("a", LONG), empty=1)
    assert chosen(every, "b", [*LONG[:60], 7, 8]) == Place(every[1], 60, every[0])


def test_a_running_sequence_can_be_copied_from() -> None:
    every = slots(("a", LONG), empty=1)
    every[0].run = a_run()
    assert chosen(every, "b", [*LONG, 7, 8]) == Place(every[1], 100, every[0])


def test_what_saves_too_little_is_not_copied() -> None:
    every = slots(("a", LONG), empty=1)
    assert chosen(every, "b", [*LONG[: WORTH - 1], 777, 888]) == Place(every[1], 0)


def test_another_tenants_kv_is_never_used() -> None:
    every = slots(("a", LONG), empty=1)
    every[0].tenant = "somebody else"
    assert chosen(every, "b", [*LONG, 7, 8]) == Place(every[1], 0)


def test_another_tenants_kv_is_not_used_in_place_either() -> None:
    every = slots(("a", LONG))
    every[0].tenant = "somebody else"
    assert chosen(every, "b", [*LONG, 7, 8]) == Place(every[0], 0)


def test_the_idle_sequence_used_longest_ago_is_given_up() -> None:
    every = slots(("a", [1, 2, 3]), ("b", [4, 5, 6]))
    every[0].used, every[1].used = 9, 4
    assert chosen(every, "c", [7, 8, 9]) == Place(every[1], 0)


def test_a_victim_that_holds_the_prefix_is_used_in_place() -> None:
    every = slots(("a", LONG))
    assert chosen(every, "c", [*LONG, 7, 8]) == Place(every[0], 100)


def test_nothing_is_chosen_while_all_are_running() -> None:
    every = slots(("a", LONG))
    every[0].run = a_run()
    assert chosen(every, "a", [1, 2, 3]) is None


def test_memory_that_cannot_be_cut_is_only_appended_to() -> None:
    every = slots(("a", LONG))
    assert chosen(every, "a", [*LONG, 7, 8], cuttable=False) == Place(every[0], 100)
    assert chosen(every, "a", [*LONG[:60], 7, 8], cuttable=False) == Place(every[0], 0)


def test_a_free_sequence_next_to_the_running_ones_is_preferred() -> None:
    every = slots(empty=6)
    every[4].run = a_run()
    found = chosen(every, "a", [1, 2, 3])
    assert found is not None
    assert found.target.id == 3


def test_running_sequences_side_by_side_stay_where_they_are() -> None:
    assert misplaced([3, 4, 5], 8) is None
    assert misplaced([], 8) is None


def test_the_odd_one_out_fills_the_hole() -> None:
    assert misplaced([0, 1, 3, 7], 8) == (7, 2)


@given(st.sets(st.integers(0, 15), max_size=16))
def test_exchanging_again_and_again_brings_all_side_by_side(running: set[int]) -> None:
    moves = 0
    while pair := misplaced(running, 16):
        running = (running - {pair[0]}) | {pair[1]}
        moves += 1
    assert moves <= 8
    assert not running or max(running) - min(running) == len(running) - 1


def test_a_prompt_that_is_being_read_is_waited_for_where_that_saves_enough() -> None:
    prompt = list(range(400))
    every = slots(("t", prompt), ("u", prompt[:200]))
    for sequence in every:
        sequence.in_kv, sequence.run = 0, a_run()
    run = every[0].run

    def found(tokens: list[int], held: int = 0, tenant: str = "x") -> tuple[Run, int] | None:
        return upcoming(every, thread="new", tenant=tenant, tokens=tokens, held=held)

    assert found([*prompt, 7, 8]) == (run, 400)
    assert found(prompt) == (run, 398)
    assert found([*prompt[:WAIT], 7, 8]) == (run, WAIT)
    assert found([*prompt[: WAIT - 1], 7, 8]) is None
    assert found([*prompt, 7, 8], held=400 - WAIT) == (run, 400)
    assert found([*prompt, 7, 8], held=401 - WAIT) is None
    assert found(prompt, tenant="y") is None
    for sequence in every:
        sequence.run = None
    assert found(prompt) is None
