"""Rows: what is kept of records, in bytes that any machine can read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livethread_server.store.rows import kept, pack_tokens, unpack_tokens
from tests.fakes import a_thread, a_turn


def test_tokens_are_kept_as_little_endian_int32() -> None:
    assert pack_tokens((1, 2**31 - 1)) == bytes.fromhex("01000000 ffffff7f")
    assert pack_tokens(()) == b""


@given(st.lists(st.integers(-(2**31), 2**31 - 1)).map(tuple))
def test_tokens_come_back_as_they_were(tokens: tuple[int, ...]) -> None:
    assert unpack_tokens(pack_tokens(tokens)) == tokens


def test_a_thread_is_kept_without_messages_and_residency() -> None:
    assert kept(a_thread(messages=(a_turn(1).message,), residency="live")) == a_thread()
