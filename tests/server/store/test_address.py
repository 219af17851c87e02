from __future__ import annotations

import pytest

from livethread_server.store.address import masked


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite", "sqlite"),
        ("sqlite:///threads.db", "sqlite:///threads.db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://user:s:e@c/ret@host/db", "postgresql://***@host/db"),
        ("postgresql:user:se\ncret@host", "postgresql://***@host"),
        ("postgresql://host/db?Password=secret&ssl=require", "postgresql://host/db?Password=***&ssl=require"),
    ],
)
def test_whatever_may_be_a_password_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown
