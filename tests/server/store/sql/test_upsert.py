"""PostgreSQL's half of this is in the store's contract."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, create_engine, select

from livethread_server.store.sql.upsert import upsert

CELLS = Table(
    "cells",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("letter", Text, primary_key=True),
    Column("what", LargeBinary),
)


def test_rows_are_inserted_or_replaced_by_their_whole_key() -> None:
    rows = ((1, "a", b"\0x"), (1, "b", b"y"), (2, "a", b"z"), (1, "a", None), (1, "b", b"new"))
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        CELLS.create(connection)
        connection.execute(upsert(CELLS), [dict(zip(("number", "letter", "what"), row, strict=True)) for row in rows])
        found = connection.execute(select(CELLS).order_by(*CELLS.primary_key)).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(1, "a", None), (1, "b", b"new"), (2, "a", b"z")]
