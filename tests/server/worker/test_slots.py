from __future__ import annotations

import pytest

from livethread_server.engine.wire import Ingest
from livethread_server.worker.llama import DecodeFailed
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.slots import PATIENCE, Slots
from tests.cells import Cells


class Borrowed:
    """Slots over cells, and who was saved before another took the sequence."""

    def __init__(self, sequences: int = 3, tasks: int = 0) -> None:
        self.cells = Cells(sequences)
        self.saved: list[str | None] = []
        self.pinned: set[str] = set()
        self.slots = Slots(
            self.cells.context, lambda slot: self.saved.append(slot.thread), self.pinned, lambda: 7.0, tasks
        )

    def fill(self, thread: str, *tokens: int, tenant: str = "x") -> Sequence:
        """Take a sequence for a thread, put all of its tokens there, and let go of it."""
        slot = self.take(thread, *tokens, tenant=tenant)
        self.cells.held[slot.id] = list(tokens)
        slot.in_kv = len(tokens)
        self.slots.release(slot)
        return slot

    def take(self, thread: str, *tokens: int, tenant: str = "x") -> Sequence:
        wanted = Ingest(thread=thread, tenant=tenant, tokens=tokens)
        chosen = self.slots.choose(wanted)
        assert chosen is not None
        return self.slots.take(wanted, chosen)


LONG = tuple(range(100, 200))


@pytest.fixture
def borrowed() -> Borrowed:
    return Borrowed()


def test_a_thread_gets_its_own_sequence_again_cut_to_what_is_equal(borrowed: Borrowed) -> None:
    first = borrowed.fill("t", *LONG)
    again = borrowed.take("t", *LONG[:50], 1, 2, 3)
    assert again is first
    assert (again.in_kv, borrowed.cells.held[again.id]) == (50, list(LONG[:50]))
    assert again.tokens == [*LONG[:50], 1, 2, 3]


def test_another_thread_gets_a_copy_of_what_it_begins_with(borrowed: Borrowed) -> None:
    first = borrowed.fill("t", *LONG)
    fork = borrowed.take("u", *LONG[:60], 1, 2, 3)
    assert (fork.in_kv, borrowed.cells.held[fork.id]) == (60, list(LONG[:60]))
    assert borrowed.cells.held[first.id] == list(LONG)
    assert borrowed.take("v", *LONG[:60], 1, 2, 3, tenant="y").in_kv == 0


def test_who_takes_another_threads_sequence_saves_it_first(borrowed: Borrowed) -> None:
    for number in range(3):
        borrowed.fill(f"t{number}", 10 * number, 10 * number + 1)
    borrowed.slots.moved()
    taken = borrowed.take("new", 77, 78, 79)
    assert borrowed.saved == ["t0"]
    assert borrowed.slots.moved() == (("t0", None), ("new", 0))
    assert (taken.thread, borrowed.cells.held[taken.id]) == ("new", [])


def test_pinned_threads_are_taken_last(borrowed: Borrowed) -> None:
    borrowed.pinned.add("t0")
    for number in range(3):
        borrowed.fill(f"t{number}", 10 * number, 10 * number + 1)
    borrowed.take("new", 77, 78, 79)
    assert borrowed.saved == ["t1"]


def test_a_state_is_put_under_the_sequence_or_nothing_is_left(borrowed: Borrowed) -> None:
    borrowed.cells.held[2] = list(LONG)
    state = borrowed.cells.export(2).copy()
    borrowed.cells.drop(2)
    wanted = Ingest(thread="t", tenant="x", tokens=(*LONG, 1, 2))
    chosen = borrowed.slots.choose(wanted)
    assert chosen is not None
    chosen = type(chosen)(chosen.target, len(LONG))
    borrowed.cells.refuses = 1
    with pytest.raises(DecodeFailed):
        borrowed.slots.take(wanted, chosen, state)
    assert chosen.target.thread is None
    assert borrowed.cells.held[chosen.target.id] == []
    slot = borrowed.slots.take(wanted, chosen, state)
    assert borrowed.cells.held[slot.id] == list(LONG)
    assert (slot.in_kv, slot.saved, slot.dirty) == (100, 100, False)


def test_what_is_released_stays_as_far_as_it_is_in_kv(borrowed: Borrowed) -> None:
    slot = borrowed.take("t", 1, 2, 3, 4)
    borrowed.cells.held[slot.id] = [1, 2]
    slot.in_kv = 2
    borrowed.slots.release(slot)
    assert (slot.tokens, slot.thread, slot.used_at) == ([1, 2], "t", 7.0)
    assert borrowed.slots.of("t") is slot
    empty = borrowed.take("u", 5, 6)
    borrowed.slots.release(empty)
    assert (empty.thread, borrowed.slots.of("u")) == (None, None)


def test_a_forgotten_thread_loses_its_sequence_now_or_when_it_is_released(borrowed: Borrowed) -> None:
    idle = borrowed.fill("t", 1, 2)
    borrowed.slots.forget("t")
    assert (idle.thread, borrowed.cells.held[idle.id]) == (None, [])
    running = borrowed.fill("u", 3, 4)
    running.run = object()  # type: ignore[assignment]
    borrowed.slots.forget("u")
    assert borrowed.cells.held[running.id] == [3, 4]
    borrowed.slots.release(running)
    assert borrowed.cells.held[running.id] == []


def test_the_one_used_longest_ago_is_given_up_until_there_is_none(borrowed: Borrowed) -> None:
    for number in range(2):
        borrowed.fill(f"t{number}", 10 * number, 10 * number + 1)
    assert borrowed.slots.give_up_one()
    assert borrowed.saved == ["t0"]
    assert borrowed.slots.give_up_one()
    assert not borrowed.slots.give_up_one()


def test_running_sequences_that_lie_apart_for_long_are_exchanged(borrowed: Borrowed) -> None:
    ends = [borrowed.fill(f"t{number}", 10 * number, 10 * number + 1) for number in range(3)]
    for slot in (ends[0], ends[2]):
        slot.run = object()  # type: ignore[assignment]
    assert [borrowed.slots.misplaced() for _ in range(PATIENCE)] == [None] * PATIENCE
    pair = borrowed.slots.misplaced()
    assert pair is not None
    borrowed.slots.swap(*pair)
    for slot in borrowed.slots:
        assert borrowed.cells.held[slot.id] == slot.tokens
    assert borrowed.slots.misplaced() is None


def test_cells_that_are_not_trusted_are_empty_whoever_has_them(borrowed: Borrowed) -> None:
    slot = borrowed.fill("t", 1, 2, 3)
    borrowed.slots.distrust(slot)
    assert (slot.in_kv, slot.thread, borrowed.cells.held[slot.id]) == (0, "t", [])


def test_a_task_that_goes_on_saves_nothing_and_one_that_displaces_saves_it() -> None:
    borrowed = Borrowed(3, tasks=1)
    first = borrowed.fill("~1", *LONG)
    assert borrowed.fill("~2", *LONG, 1, 2, 3) is first
    assert borrowed.saved == []
    wanted = Ingest(thread="~3", tenant="x", tokens=(1, 2, 3))
    chosen = borrowed.slots.choose(wanted)
    assert chosen is not None
    assert borrowed.slots.must_save(wanted, chosen)
    assert borrowed.take("~3", 1, 2, 3) is first
    assert borrowed.saved == ["~2"]


def test_a_state_that_is_put_over_a_tasks_context_saves_it_whatever_they_have_in_common() -> None:
    borrowed = Borrowed(2, tasks=1)
    borrowed.fill("~1", *LONG)
    wanted = Ingest(thread="~2", tenant="x", tokens=LONG)
    chosen = borrowed.slots.choose(wanted)
    assert chosen is not None
    other = Cells(2)
    other.held[0] = list(LONG)
    borrowed.slots.take(wanted, chosen, other.export(0))
    assert borrowed.saved == ["~1"]


def test_room_is_what_threads_could_have_whoever_has_the_sequences() -> None:
    borrowed = Borrowed(3, tasks=1)
    borrowed.fill("~1", *LONG)
    assert borrowed.slots.room == 2
