from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.worker.scheduler import ALONE, LEAST, Chunk, Costs, Waiting, plan

LONGEST = 256


def costs(*, row_ms: float = 10.0, token_ms: float = 4.0) -> Costs:
    learned = Costs()
    learned.saw_rows(1, row_ms)
    learned.saw_chunk(10, 0, token_ms * 10)
    return learned


def test_a_prompt_gets_what_the_generating_rows_leave_of_the_step() -> None:
    chunks = plan(1, [Waiting(0, 2000, 0, 0)], costs(), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(0, 22)]


def test_a_prompt_that_nobody_generates_beside_gets_a_longer_step() -> None:
    chunks = plan(0, [Waiting(0, 2000, 0, 0)], costs(), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(0, int(100 * ALONE / 4))]


def test_a_prompt_never_starves_beside_rows_that_take_the_whole_step() -> None:
    chunks = plan(16, [Waiting(3, 100, 0, 0)], costs(row_ms=20), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(3, LEAST)]


def test_the_first_prompt_without_any_experience_gets_the_least() -> None:
    assert plan(0, [Waiting(0, 500, 0, 0)], Costs(), step_ms=100, longest=LONGEST) == [Chunk(0, LEAST)]


def test_what_a_short_prompt_does_not_need_goes_to_the_next() -> None:
    waiting = [Waiting(0, 5, 0, 0), Waiting(1, 500, 0, 1)]
    chunks = plan(1, waiting, costs(), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(0, 5), Chunk(1, 17)]


def test_who_was_served_longest_ago_comes_first() -> None:
    waiting = [Waiting(0, 500, 0, 7), Waiting(1, 500, 0, 3), Waiting(2, 500, 0, 5)]
    assert [chunk.sequence for chunk in plan(1, waiting, costs(), step_ms=100, longest=LONGEST)] == [1]


def test_nothing_waiting_is_an_empty_plan() -> None:
    assert plan(3, [], costs(), step_ms=100, longest=LONGEST) == []


def test_a_tiny_chunk_teaches_nothing() -> None:
    learned = costs(token_ms=4.0)
    learned.saw_chunk(2, 0, 20.0)
    assert learned.of_token(0) == 4.0


def test_costs_follow_what_was_seen_lately() -> None:
    learned = costs(token_ms=4.0)
    for _ in range(10):
        learned.saw_chunk(10, 0, 80.0)
    assert 7.9 < learned.of_token(0) < 8.1


def test_costs_of_a_new_depth_are_those_of_the_nearest_known_one() -> None:
    learned = costs(token_ms=4.0)
    learned.saw_chunk(10, 4096, 90.0)
    assert learned.of_token(5000) == 9.0
    assert learned.of_token(600) == 4.0


def test_more_rows_than_ever_seen_are_estimated_in_proportion() -> None:
    assert costs(row_ms=10).of_rows(4) == 40.0


@given(
    rows=st.integers(0, 16),
    lefts=st.lists(st.integers(2, 3000), max_size=6),
    token_ms=st.floats(0.01, 60),
    step_ms=st.floats(1, 500),
)
def test_a_chunk_is_never_one_token_and_never_leaves_one_over(
    rows: int, lefts: list[int], token_ms: float, step_ms: float
) -> None:
    waiting = [Waiting(number, left, 0, number) for number, left in enumerate(lefts)]
    chunks = plan(rows, waiting, costs(token_ms=token_ms), step_ms=step_ms, longest=LONGEST)
    for chunk in chunks:
        assert 2 <= chunk.count <= LONGEST
        assert lefts[chunk.sequence] - chunk.count != 1
    assert bool(chunks) == bool(lefts)


def test_a_prompt_of_a_single_token_is_a_chunk_of_one() -> None:
    assert plan(0, [Waiting(0, 1, 0, 0)], costs(), step_ms=100, longest=LONGEST) == [Chunk(0, 1)]


def test_threads_prompts_come_before_tasks_however_long_these_have_waited() -> None:
    waiting = [Waiting(0, 500, 0, 1, side=True), Waiting(1, 12, 0, 9), Waiting(2, 500, 0, 2, side=True)]
    chunks = plan(1, waiting, costs(), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(1, 12), Chunk(0, 10)]
    chunks = plan(1, [*waiting, Waiting(3, 500, 0, 10)], costs(), step_ms=100, longest=LONGEST)
    assert chunks == [Chunk(1, 12), Chunk(3, 10)]


def test_tasks_prompts_make_no_step_longer_where_a_thread_runs() -> None:
    task = Waiting(0, 500, 0, 1, side=True)
    assert plan(0, [task], costs(), step_ms=100, longest=LONGEST) == [Chunk(0, 25)]
    assert plan(0, [task, Waiting(1, 20, 0, 9)], costs(), step_ms=100, longest=LONGEST) == [Chunk(1, 20)]
    assert plan(0, [task, Waiting(1, 10, 0, 9)], costs(), step_ms=100, longest=LONGEST) == [Chunk(1, 10), Chunk(0, 15)]


def test_where_only_tasks_run_many_prompts_are_read_in_a_step_whatever_rows_there_are() -> None:
    tasks = [Waiting(number, 40, 0, 0, side=True) for number in range(8)]
    chunks = plan(16, tasks, costs(row_ms=20), step_ms=100, longest=LONGEST, only_tasks=True)
    assert chunks == [Chunk(0, 40), Chunk(1, 40), Chunk(2, 20)]


def test_no_chunk_of_a_task_takes_longer_than_a_thread_may_have_to_wait() -> None:
    task = Waiting(0, 500, 0, 1, side=True)
    chunks = plan(1, [task], costs(), step_ms=100, longest=LONGEST, only_tasks=True)
    assert chunks == [Chunk(0, int(100 * ALONE / 4))]
