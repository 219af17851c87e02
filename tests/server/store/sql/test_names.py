from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_mock_engine

from livethread_server.store.sql.names import Name

TEXTS = st.text(st.sampled_from("\0\1\2aé𝄞"), max_size=6)
DIALECT = create_mock_engine("postgresql+asyncpg://", print).dialect


def kept(text: str) -> str:
    """The text as PostgreSQL gets it."""
    stored = Name().process_bind_param(text, DIALECT)
    assert stored is not None
    return stored


@given(TEXTS)
def test_any_text_comes_back_and_is_kept_without_nul(text: str) -> None:
    assert "\0" not in kept(text)
    assert Name().process_result_value(kept(text), DIALECT) == text


@given(TEXTS, TEXTS)
def test_texts_keep_their_order(one: str, other: str) -> None:
    assert (kept(one) < kept(other)) == (one < other)


def test_nothing_stays_nothing() -> None:
    assert Name().process_bind_param(None, DIALECT) is None
    assert Name().process_result_value(None, DIALECT) is None
