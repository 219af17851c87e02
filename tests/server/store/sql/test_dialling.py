from __future__ import annotations

import pytest
from sqlalchemy import make_url

from livethread_server.store.base import Unusable
from livethread_server.store.sql.dialling import Dialling


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql+asyncpg://user:secret@host:5433/threads", "postgresql://host:5433/threads"),
        ("postgres://user:secret@host/threads?sslmode=require&timeout=3", "postgresql://host/threads"),
        ("postgresql+psycopg2:///threads?host=/run/postgresql", "postgresql:///threads?host=%2Frun%2Fpostgresql"),
    ],
)
def test_a_place_names_neither_user_nor_password(url: str, place: str) -> None:
    assert Dialling(make_url(url)).place == place


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://user:secret@host", "names no database"),
        ("postgresql://user:secret@host/threads?password=secret", "has an unknown field 'password'"),
        ("postgresql://host/threads?target_session_attrs=any", "with no other fields behind it than host, port, ssl,"),
        ("postgresql://host/threads?timeout=soon", "has timeout=soon. Give it seconds above 0"),
        ("postgresql://host/threads?command_timeout=0", "has command_timeout=0"),
        ("postgresql://host/threads?timeout=nan", "has timeout=nan"),
        ("postgresql://host/threads?timeout=1&timeout=2", "has timeout="),
    ],
)
def test_what_cannot_be_dialled_is_refused_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence) as caught:
        Dialling(make_url(url))
    assert "secret" not in str(caught.value)
