from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread_server.worker.chunk import (
    ROOT,
    SHARED,
    TOKENS,
    BadChunk,
    Head,
    Namer,
    fingerprint_of,
    head_size,
    scope_of,
    tag,
    unpack_head,
    verify,
)

ALICE = scope_of("alice")
KEY = b"k" * 32


def tokens(count: int, first: int = 0) -> bytes:
    return np.arange(first, first + count, dtype="<i4").tobytes()


def chain(data: bytes, scope: bytes = ALICE, shared: int = 0, fingerprint: bytes = b"f" * 32) -> list[Head]:
    return Namer(fingerprint, 8).chain(data, scope, shared)


def test_a_context_is_runs_of_256_and_a_tail() -> None:
    heads = chain(tokens(600))
    assert [head.count for head in heads] == [TOKENS, TOKENS, 88]
    assert [head.parent for head in heads] == [ROOT, heads[0].name, heads[1].name]
    assert [head.size for head in heads] == [8 * TOKENS, 8 * TOKENS, 8 * 88]


def test_equal_beginnings_have_equal_names_and_nothing_else_has() -> None:
    names = [head.name for head in chain(tokens(600))]
    assert [head.name for head in chain(tokens(700))][:2] == names[:2]
    assert chain(tokens(600, first=1))[1].name != names[1]
    assert chain(tokens(600), scope_of("bob"))[0].name != names[0]
    assert chain(tokens(600), fingerprint=b"g" * 32)[0].name != names[0]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_what_is_shared_ends_with_a_chunk_and_belongs_to_everybody(count: int, shared: int) -> None:
    heads = chain(tokens(count), shared=shared)
    assert sum(head.count for head in heads) == count
    assert sum(head.count for head in heads if head.scope == SHARED) == min(count, shared)
    others = chain(tokens(count), scope_of("bob"), shared=shared)
    assert [head.name == other.name for head, other in zip(heads, others, strict=True)] == [
        head.scope == SHARED for head in heads
    ]


def test_a_fingerprint_depends_on_every_fact() -> None:
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1, "b": 2}) != fingerprint_of({"a": 1, "b": 3})


def test_a_head_survives_its_file() -> None:
    for head in (*chain(tokens(300)), Namer(b"f" * 32, 8).whole(tokens(70), ALICE, 1234)):
        data = head.pack()
        assert head_size(data) == len(data)
        again = unpack_head(data, head.file_size)
        assert (again, again.name) == (head, head.name)


@pytest.mark.parametrize("length", [0, 10, 144, 200])
def test_a_head_that_ends_too_early_is_refused(length: int) -> None:
    head = chain(tokens(100))[0]
    with pytest.raises(BadChunk):
        unpack_head(head.pack()[:length], head.file_size)


def test_a_head_that_does_not_fit_its_file_is_refused() -> None:
    head = chain(tokens(100))[0]
    with pytest.raises(BadChunk):
        unpack_head(head.pack(), head.file_size - 1)


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_reading_of_a_head(data: bytes) -> None:
    with pytest.raises(BadChunk):
        unpack_head(data, len(data))


def test_a_tag_holds_for_one_key_and_one_content() -> None:
    rows = np.arange(64, dtype=np.uint8)
    good = tag(KEY, b"head", rows)
    verify(KEY, b"head", rows, good)
    for key, head, other in ((b"x" * 32, b"head", rows), (KEY, b"Head", rows), (KEY, b"head", rows + 1)):
        with pytest.raises(BadChunk):
            verify(key, head, other, good)
