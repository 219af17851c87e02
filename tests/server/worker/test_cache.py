from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread.model import Sampling
from livethread_server.engine.wire import Submit
from livethread_server.worker.cache import SIDE_WORTH, WAIT, WORTH, Place, misplaced, place, upcoming, victim
from livethread_server.worker.run import Run
from livethread_server.worker.sequence import Sequence


class Silent:
    """A sampler that is never asked."""

    def draw(self, logits: object, known: int | None = None) -> int:
        raise AssertionError("nobody draws here")

    def close(self) -> None:
        """Nothing to free."""


def a_run(*, side: bool = False) -> Run:
    submit = Submit(run="r", thread="~1" if side else "t", tenant="x", tokens=(1,), sampling=Sampling(), side=side)
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


def beside(every: list[Sequence], thread: str, tokens: list[int], tasks: int = 2) -> Place | None:
    return place(every, thread=thread, tenant="x", tokens=tokens, can_keep=lambda *_: True, tasks=tasks)


def test_a_task_never_takes_a_threads_sequence_nor_more_than_there_are_for_tasks() -> None:
    every = slots(("a", [1, 2, 3]), ("~1", [4, 5, 6]), ("~2", [7, 8, 9]), empty=1)
    assert beside(every, "~3", LONG) == Place(every[1], 0)
    every[1].run = every[2].run = a_run(side=True)
    assert beside(every, "~3", LONG) is None
    assert beside(every, "b", LONG) == Place(every[3], 0)


def test_a_thread_never_takes_a_tasks_sequence_nor_one_that_is_for_tasks() -> None:
    every = slots(("~1", [4, 5, 6]), ("a", [1, 2, 3]), ("b", [1, 2, 3]), empty=1)
    assert beside(every, "c", LONG) == Place(every[1], 0)
    every[1].run = every[2].run = a_run()
    assert beside(every, "c", LONG) is None
    assert beside(every, "~2", LONG) == Place(every[3], 0)


def test_a_run_whose_thread_is_gone_counts_as_a_threads_until_it_ends() -> None:
    every = slots(("~1", [4, 5, 6]), empty=2)
    every[1].run = a_run()
    assert (every[1].held, every[1].side) == (True, False)
    assert beside(every, "~2", LONG, tasks=1) == Place(every[0], 0)


def test_a_history_that_comes_back_goes_on_in_the_tasks_sequence() -> None:
    every = slots(("~1", LONG), ("~2", LONG[:50]), empty=2)
    assert beside(every, "~3", [*LONG, 7, 8], tasks=3) == Place(every[0], 100)
    lost = 100 - SIDE_WORTH
    assert beside(every, "~3", [*LONG[:lost], 7, 8], tasks=3) == Place(every[0], lost)


def test_a_history_that_differs_early_is_copied_and_not_overwritten() -> None:
    every = slots(("~1", LONG), empty=2)
    assert beside(every, "~2", [*LONG[:60], 7, 8]) == Place(every[1], 60, every[0])
    every[0].tenant = "somebody else"
    assert beside(every, "~2", [*LONG, 7, 8]) == Place(every[1], 0)


def test_threads_and_tasks_copy_from_each_other_less_being_worth_it_for_a_task() -> None:
    every = slots(("a", LONG), ("~1", list(range(200, 300))), empty=2)
    assert beside(every, "~2", [*LONG[:SIDE_WORTH], 7, 8]) == Place(every[2], SIDE_WORTH, every[0])
    assert beside(every, "b", [*range(200, 300), 7, 8]) == Place(every[2], 100, every[1])


def test_a_choice_waits_for_little_of_its_own_tasks_prompt() -> None:
    prompt = list(range(SIDE_WORTH + 2))
    every = slots(("~1", prompt))
    every[0].in_kv, every[0].run = 0, a_run(side=True)
    found = upcoming(every, thread="~1", tenant="x", tokens=prompt, held=0)
    assert found == (every[0].run, SIDE_WORTH)
    assert upcoming(every, thread="~2", tenant="x", tokens=prompt, held=0) is None
    assert upcoming(every, thread="~1", tenant="x", tokens=prompt, held=1) is None


def test_who_needs_cells_takes_them_from_his_own_kind_first() -> None:
    every = slots(("~1", LONG), ("a", LONG), ("b", LONG))
    assert victim(every) is every[1]
    assert victim(every, ("a",)) is every[2]
    assert victim(every, side=True) is every[0]
    assert victim(every[:1]) is every[0]
