from __future__ import annotations

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Sampling
from livethread_server.engine.admission import Admission, Room
from livethread_server.engine.wire import Submit, is_side


def submit(run: str, prompt: int = 10, most: int | None = 10, forced: int = 0, tenant: str = "x") -> Submit:
    """A thread's run, or a task's, whose name begins as a task does."""
    sampling = Sampling(max_tokens=most)
    return Submit(
        run=run,
        thread=run,
        tenant=tenant,
        tokens=(1,) * prompt,
        sampling=sampling,
        side=is_side(run),
        forced=(1,) * forced,
    )


def opened(slots: int = 2, cells: int = 1000, context: int = 100, queued_runs: int = 8, tasks: int = 2) -> Admission:
    admission = Admission(queued_runs, queued_tasks=2)
    admission.open(Room(slots, cells, context, tasks))
    return admission


def started(admission: Admission) -> list[str]:
    runs = []
    while found := admission.next():
        runs.append(found.run)
    return runs


def test_runs_start_in_order_as_far_as_there_are_slots() -> None:
    admission = opened(slots=2)
    for run in "abc":
        admission.offer(submit(run))
    assert started(admission) == ["a", "b"]
    assert admission.waiting == ("c",)
    admission.release("a")
    assert started(admission) == ["c"]


def test_a_run_waits_for_the_cells_it_may_come_to_need() -> None:
    admission = opened(slots=9, cells=50)
    admission.offer(submit("a", prompt=20, most=10))
    admission.offer(submit("b", prompt=20, most=10))
    admission.offer(submit("small", prompt=1, most=1))
    assert started(admission) == ["a"]
    admission.release("a")
    assert started(admission) == ["b", "small"]


def test_a_run_never_needs_more_than_a_context() -> None:
    admission = opened(cells=100, context=100)
    admission.offer(submit("a", prompt=20, most=None))
    assert started(admission) == ["a"]


def test_the_queue_is_bounded() -> None:
    admission = opened(slots=1, queued_runs=1)
    admission.offer(submit("a"))
    started(admission)
    admission.offer(submit("b"))
    with pytest.raises(CommandError) as refused:
        admission.offer(submit("c"))
    assert refused.value.code is ErrorCode.QUEUE_FULL
    assert refused.value.retryable


def test_without_a_queue_a_run_that_can_start_at_once_is_taken() -> None:
    admission = opened(slots=1, queued_runs=0)
    admission.offer(submit("a"))
    assert started(admission) == ["a"]


def test_a_withdrawn_run_lets_the_next_one_through() -> None:
    admission = opened(slots=9, cells=50)
    admission.offer(submit("a", prompt=30))
    started(admission)
    admission.offer(submit("b", prompt=30))
    admission.offer(submit("c", prompt=0, most=5))
    assert admission.withdraw("b")
    assert not admission.withdraw("a")
    assert started(admission) == ["c"]


def test_those_that_wait_outlive_the_worker() -> None:
    admission = opened(slots=1)
    admission.offer(submit("a"))
    admission.offer(submit("b"))
    started(admission)
    admission.close()
    assert started(admission) == []
    admission.open(Room(1, 1000, 100))
    assert started(admission) == ["b"]


def test_runs_that_come_back_are_before_those_that_wait_and_no_limit_holds_for_them() -> None:
    admission = opened(slots=2, queued_runs=1)
    for run in "abc":
        admission.offer(submit(run))
        started(admission)
    admission.close()
    assert not admission.given
    admission.take_back([submit("a"), submit("b")])
    assert admission.waiting == ("a", "b", "c")
    with pytest.raises(CommandError):
        admission.offer(submit("d"))
    admission.open(Room(2, 1000, 100))
    assert started(admission) == ["a", "b"]
    assert admission.given


def test_an_isolated_run_is_alone_until_it_is_trusted_or_over() -> None:
    admission = opened(slots=9)
    for run in "abcd":
        admission.offer(submit(run))
    admission.isolate("b")
    admission.isolate("c")
    assert started(admission) == ["a"]
    admission.release("a")
    assert started(admission) == ["b"]
    admission.trust("b")
    assert started(admission) == []
    admission.release("b")
    assert started(admission) == ["c"]
    admission.trust("c")
    assert started(admission) == ["d"]


def test_a_run_that_is_over_isolates_nobody() -> None:
    admission = opened(slots=9)
    admission.offer(submit("a"))
    admission.isolate("a")
    assert started(admission) == ["a"]
    admission.release("a")
    admission.offer(submit("a"))
    admission.offer(submit("b"))
    assert started(admission) == ["a", "b"]


def test_tasks_have_slots_and_a_line_of_their_own() -> None:
    admission = opened(slots=1, tasks=2)
    for run in ("~1", "~2", "~3", "~4", "a", "b"):
        admission.offer(submit(run))
        if run in ("~2", "a"):
            started(admission)
    assert list(admission.positions()) == [(1, "b"), (1, "~3"), (2, "~4")]
    admission.release("~1")
    assert started(admission) == ["~3"]
    admission.release("a")
    assert started(admission) == ["b"]


def test_the_line_of_tasks_is_bounded_by_itself() -> None:
    admission = opened(slots=1, queued_runs=0, tasks=1)
    admission.offer(submit("~1"))
    started(admission)
    admission.offer(submit("~2"))
    admission.offer(submit("~3"))
    with pytest.raises(CommandError) as refused:
        admission.offer(submit("~4"))
    assert refused.value.code is ErrorCode.QUEUE_FULL
    assert refused.value.details == {"queued_tasks": 2}
    admission.offer(submit("a"))
    assert started(admission) == ["a"]


def test_threads_come_before_tasks_and_need_none_of_their_cells() -> None:
    admission = opened(slots=9, cells=50, tasks=1)
    admission.close()
    admission.take_back([submit("~1", 80), submit("a", 30), submit("b", 30)])
    admission.open(Room(9, 50, 100, 1))
    assert started(admission) == ["a", "~1"]


def test_forced_tokens_are_what_a_run_needs_cells_for() -> None:
    admission = opened(slots=9, cells=50)
    admission.offer(submit("a", prompt=20, most=None, forced=10))
    admission.offer(submit("b", prompt=10, most=10))
    assert started(admission) == ["a", "b"]


def test_nobody_of_either_kind_passes_a_run_that_must_be_alone() -> None:
    admission = opened(slots=9, tasks=9)
    for run in ("a", "~1"):
        admission.offer(submit(run))
        started(admission)
    admission.close()
    admission.take_back([submit("a"), submit("~1")])
    admission.isolate("~1")
    admission.open(Room(9, 1000, 100, 9))
    admission.offer(submit("b"))
    assert started(admission) == ["~1"]
    admission.release("~1")
    assert started(admission) == ["a", "b"]


def test_tenants_take_turns_with_their_tasks() -> None:
    admission = opened(tasks=1)
    admission.offer(submit("~0", tenant="a"))
    started(admission)
    for run in ("~1", "~2"):
        admission.offer(submit(run, tenant="a"))
    admission.offer(submit("~3", tenant="b"))
    assert list(admission.positions()) == [(1, "~1"), (2, "~3"), (3, "~2")]
    order = []
    for run in ("~0", "~1", "~3"):
        admission.release(run)
        order += started(admission)
    assert order == ["~1", "~3", "~2"]


def test_threads_runs_are_served_in_order_whose_ever_they_are() -> None:
    admission = opened(slots=1)
    for run, tenant in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")):
        admission.offer(submit(run, tenant=tenant))
    assert admission.waiting == ("a", "b", "c", "d")


def test_who_fills_his_share_leaves_room_for_others() -> None:
    admission = opened(tasks=1)
    admission.offer(submit("~0", tenant="a"))
    started(admission)
    for run in ("~1", "~2"):
        admission.offer(submit(run, tenant="a"))
    admission.offer(submit("~3", tenant="b"))
    for tenant in ("a", "b", "c"):
        with pytest.raises(CommandError, match="no more of yours may"):
            admission.offer(submit("~4", tenant=tenant))
    assert admission.waiting == ("~1", "~3", "~2")


def test_a_task_has_room_for_so_many_runs_as_there_are_slots_and_places_in_its_line() -> None:
    assert opened(slots=5, tasks=3).most_of_a_task == 5


def test_a_run_that_must_be_alone_waits_for_vectors_and_nobody_passes_it() -> None:
    admission = opened(slots=9)
    admission.take_back([submit("a"), submit("b")])
    assert not admission.isolating
    admission.isolate("a")
    assert admission.isolating
    assert admission.next(vectors=True) is None
    assert started(admission) == ["a"]
    assert admission.isolating
    admission.trust("a")
    assert not admission.isolating
    assert started(admission) == ["b"]


def test_while_vectors_must_be_alone_only_runs_go_that_must_be_so_too() -> None:
    admission = opened(slots=9)
    for run in "ab":
        admission.offer(submit(run))
    assert admission.next(held=True) is None
    admission.isolate("a")
    found = admission.next(held=True)
    assert found is not None
    assert found.run == "a"
    admission.release("a")
    assert admission.next(held=True) is None
    assert started(admission) == ["b"]
