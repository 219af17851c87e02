"""Insert or replace rows by their primary key in one statement, in the words that SQLite and PostgreSQL share.

SQLAlchemy has such an INSERT for each of them, but none for both. This module must never know what the rows mean.
"""

from __future__ import annotations

from sqlalchemy import Table, TextClause, bindparam, text


def upsert(table: Table) -> TextClause:
    """Takes a value for each column, by its name (SQLite's manual, "UPSERT"; PostgreSQL's, INSERT, "ON CONFLICT")."""
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key]
    replaced = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    values = ", ".join(f":{name}" for name in names)
    statement = text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {replaced}"
    )
    return statement.bindparams(*(bindparam(column.name, type_=column.type) for column in table.columns))
