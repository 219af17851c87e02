from __future__ import annotations

from functools import partial

import pytest

from livethread_server.engine.wire import Embedded, EmbedEnded, Pooling
from livethread_server.worker.scheduler import LEAST
from tests.reader import Reader, Readers, embed, rows_of

PLENTY = 1e9
"""Milliseconds in which everything is read that has room in a batch."""


@pytest.fixture
def readers() -> Readers:
    return Readers()


def read_all(readers: Readers) -> list[Embedded | EmbedEnded]:
    said = readers.embedder.answers()
    while readers.embedder.busy:
        readers.embedder.advance(PLENTY)
        said += readers.embedder.answers()
    return said


def order(said: list[Embedded | EmbedEnded]) -> list[tuple[int, int | None]]:
    """Who was answered, which text; None for the end."""
    return [(one.ask, one.index if isinstance(one, Embedded) else None) for one in said]


@pytest.mark.parametrize(
    ("pooling", "vectors"),
    [("mean", [[6.0, 1.0]]), ("cls", [[5, 0]]), ("last", [[7, 2]]), ("none", [[5, 0], [6, 1], [7, 2]])],
)
def test_a_text_becomes_what_its_asker_wants(readers: Readers, pooling: Pooling, vectors: list[list[float]]) -> None:
    readers.embedder.ask(embed(1, (5, 6, 7), pooling=pooling))
    first, end = read_all(readers)
    assert isinstance(first, Embedded)
    assert (first.ask, first.index, rows_of(first)) == (1, 0, vectors)
    assert end == EmbedEnded(1)


def test_short_texts_share_a_batch_and_are_answered_in_their_order(readers: Readers) -> None:
    readers.embedder.ask(embed(1, (1, 2), (3,), (4, 5)))
    assert order(read_all(readers)) == [(1, 0), (1, 1), (1, 2), (1, None)]
    assert readers.reads == [[(1, 2), (3,), (4, 5)]]
    assert readers.made[False].held == {}


def test_no_batch_has_more_texts_than_sequences(readers: Readers) -> None:
    readers.embedder.ask(embed(1, *[(number,) for number in range(6)]))
    read_all(readers)
    assert list(map(len, readers.reads)) == [4, 2]


def test_askers_take_turns_so_that_many_texts_do_not_hold_up_one() -> None:
    readers = Readers(partial(Reader, rows=8, sequences=2))
    readers.embedder.ask(embed(1, *[(number,) * 4 for number in range(20)]))
    readers.embedder.advance(PLENTY)
    readers.embedder.ask(embed(2, (50,) * 4))
    readers.embedder.advance(PLENTY)
    assert (2, None) in order(readers.embedder.answers())


def test_tenants_take_turns_however_many_askers_each_has() -> None:
    readers = Readers(partial(Reader, rows=8, sequences=2))
    for ask in range(4):
        readers.embedder.ask(embed(ask, *[(number,) * 4 for number in range(5)], tenant="a"))
    readers.embedder.ask(embed(9, (50,) * 4, (60,) * 4, tenant="b"))
    readers.embedder.advance(PLENTY)
    readers.embedder.advance(PLENTY)
    assert order(readers.embedder.answers()) == [(0, 0), (9, 0), (1, 0), (9, 1), (9, None)]


def test_a_long_text_is_read_in_chunks_of_what_a_budget_has_room_for(readers: Readers) -> None:
    readers.embedder.ask(embed(1, range(40)))
    for _ in range(4):
        readers.embedder._costs.saw_chunk(1000, 0, 1000.0)
    readers.embedder.advance(10.0)
    assert list(map(len, readers.reads[0])) == [10]
    (vector, _) = read_all(readers)
    assert isinstance(vector, Embedded)
    assert rows_of(vector) == [[19.5, 19.5]]
    assert max(len(portion) for read in readers.reads for portion in read) <= 16


def test_too_little_time_is_saved_up_until_it_is_enough(readers: Readers) -> None:
    readers.embedder.ask(embed(1, range(40)))
    assert [readers.embedder.advance(LEAST / 3) for _ in range(3)] == [False, False, True]
    assert list(map(len, readers.reads[0])) == [LEAST]


def test_what_is_half_read_goes_on_with_others_behind_it() -> None:
    readers = Readers(partial(Reader, rows=16))
    readers.embedder.ask(embed(1, range(20)))
    readers.embedder.ask(embed(2, (7, 8)))
    assert order(read_all(readers)) == [(1, 0), (1, None), (2, 0), (2, None)]
    assert readers.reads == [[tuple(range(16))], [tuple(range(16, 20)), (7, 8)]]


def test_a_model_that_reads_whole_texts_gets_them_whole() -> None:
    readers = Readers(partial(Reader, rows=8, most=30, whole=True))
    readers.embedder.ask(embed(1, range(5), range(3), range(30), range(6), range(4)))
    said = read_all(readers)
    assert order(said) == [*[(1, index) for index in range(5)], (1, None)]
    assert [list(map(len, read)) for read in readers.reads] == [[5, 3], [30], [6], [4]]


def test_who_cancels_gets_nothing_more_and_frees_what_was_half_read(readers: Readers) -> None:
    readers.embedder.ask(embed(1, range(40), (1,)))
    readers.embedder.ask(embed(2, (7, 8)))
    readers.embedder.advance(PLENTY)
    assert readers.made[False].held
    readers.embedder.cancel(1)
    assert readers.embedder.answers() == [EmbedEnded(1, cancelled=True)]
    assert readers.made[False].held == {}
    assert order(read_all(readers)) == [(2, 0), (2, None)]
    readers.embedder.cancel(1)
    assert read_all(readers) == []


def test_scores_come_from_a_context_of_their_own(readers: Readers) -> None:
    readers.embedder.ask(embed(1, (1, 2, 3), pooling="rank"))
    readers.embedder.ask(embed(2, (4, 5)))
    score, _, vector, _ = read_all(readers)
    assert isinstance(score, Embedded)
    assert isinstance(vector, Embedded)
    assert (rows_of(score), rows_of(vector)) == ([[3.0]], [[4.5, 0.5]])
    assert (readers.made[True].reads, readers.reads) == ([[(1, 2, 3)]], [[(4, 5)]])


def test_contexts_are_made_when_they_are_wanted_and_closed_in_the_end(readers: Readers) -> None:
    assert readers.made == {}
    assert readers.embedder.advance(PLENTY) is False
    readers.embedder.ask(embed(1, (1,)))
    read_all(readers)
    assert set(readers.made) == {False}
    readers.embedder.close()
    assert readers.made[False].closed


def test_a_batch_that_fails_fails_who_is_in_it_and_nobody_else(readers: Readers) -> None:
    readers.embedder.ask(embed(1, range(40)))
    readers.embedder.ask(embed(2, (7, 8)))
    readers.embedder.advance(PLENTY)
    readers.made[False].fails = 1
    readers.embedder.advance(PLENTY)
    assert readers.embedder.answers() == [
        EmbedEnded(1, "The engine could not embed: llama_decode returned 1. Try again.")
    ]
    assert readers.made[False].held == {}
    assert order(read_all(readers)) == [(2, 0), (2, None)]


def test_a_context_that_cannot_be_made_is_told_to_all_who_wait(readers: Readers) -> None:
    readers.refuses = True
    readers.embedder.ask(embed(1, (1,)))
    readers.embedder.ask(embed(2, (1,)))
    said = read_all(readers)
    assert [(one.ask, isinstance(one, EmbedEnded) and one.error) for one in said] == [
        (ask, "The engine could not embed: No memory is left. Try again.") for ask in (1, 2)
    ]
    readers.refuses = False
    readers.embedder.ask(embed(3, (1,)))
    assert order(read_all(readers)) == [(3, 0), (3, None)]


@pytest.mark.parametrize(
    ("text", "why"),
    [((), "has 0 tokens"), (range(101), "has 101 tokens; send 1 to 100"), ((1000,), "outside"), ((-1,), "outside")],
)
def test_a_text_that_the_model_cannot_read_is_refused(readers: Readers, text: tuple[int, ...], why: str) -> None:
    readers.embedder.ask(embed(1, (1,), text))
    (end,) = read_all(readers)
    assert isinstance(end, EmbedEnded)
    assert why in (end.error or "")


def test_only_a_reranker_ranks() -> None:
    readers = Readers(pooling="mean")
    readers.embedder.ask(embed(1, (1,), pooling="rank"))
    (end,) = read_all(readers)
    assert isinstance(end, EmbedEnded)
    assert "no head that ranks" in (end.error or "")


def test_nothing_to_embed_is_over_at_once(readers: Readers) -> None:
    readers.embedder.ask(embed(1))
    assert read_all(readers) == [EmbedEnded(1)]
