"""The tables as they are now, and the number of that version.

This module must never know what is done with the rows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from livethread_server.store.sql.names import Name

SCHEMA_VERSION = 2
"""The version of the tables below, kept in the database. Raise it with a new step in ``migrations``."""

TABLES = MetaData()
_NAME = Text().with_variant(Name(), "postgresql")
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _owned(primary: bool) -> Column[str]:
    """The column that ties a row to its thread and to the thread's end."""
    return Column("thread", _NAME, ForeignKey("threads.id", ondelete="CASCADE"), primary_key=primary, nullable=False)


META = Table(
    "meta",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)
THREADS = Table(
    "threads",
    TABLES,
    Column("id", _NAME, primary_key=True),
    Column("owner", _NAME, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("updated_at", _NAME, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("threads_of_owner", "owner", "updated_at", "id"),
)
TURNS = Table(
    "turns",
    TABLES,
    _owned(primary=True),
    Column("id", _NAME, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("tokens", LargeBinary),
    Index("turns_in_order", "thread", "position"),
)
RUNS = Table(
    "runs",
    TABLES,
    # Rises with each new run: the order of acceptance, whatever the clock did.
    Column("n", _SERIAL, primary_key=True),
    Column("id", _NAME, nullable=False, unique=True),
    _owned(primary=False),
    Column("owner", _NAME, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("digest", _NAME, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("undo", LargeBinary, nullable=False),
    Column("base", LargeBinary, nullable=False),
    Column("base_tokens", LargeBinary),
    Column("text", LargeBinary, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("started", LargeBinary),
    Column("accepted_at", _NAME, nullable=False),
    Index("runs_of_thread", "thread", "finished", "n"),
    Index("runs_of_owner", "owner", "finished", "n"),
)
Index("runs_unfinished", RUNS.c.n, sqlite_where=~RUNS.c.finished, postgresql_where=~RUNS.c.finished)
EVENTS = Table(
    "events",
    TABLES,
    _owned(primary=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
ANSWERS = Table(
    "answers",
    TABLES,
    _owned(primary=True),
    Column("principal", _NAME, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("digest", _NAME, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires", Float, nullable=False),
    Index("answers_by_expiry", "expires"),
)

SHARES = Table(
    "shares",
    TABLES,
    _owned(primary=True),
    Column("principal", _NAME, primary_key=True),
    Column("role", Text, nullable=False),
    Index("shares_of_principal", "principal", "thread"),
)
INVITES = Table(
    "invites",
    TABLES,
    _owned(primary=True),
    Column("digest", _NAME, primary_key=True),
    Column("role", Text, nullable=False),
    Column("expires", Float, nullable=False),
)
