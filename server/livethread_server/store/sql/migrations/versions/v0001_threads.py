"""Threads, their turns, runs, events and answers: the tables of the first version."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Text,
    text,
)

revision = "0001"
down_revision = None

NAME = Text().with_variant(Text(collation="C"), "postgresql")
SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables; `meta` is there already, as the version is read from it."""
    _threads()
    _runs()
    _answers()


def owned(primary: bool) -> Column[str]:
    """The column that ties a row to its thread and to the thread's end."""
    return Column("thread", NAME, ForeignKey("threads.id", ondelete="CASCADE"), primary_key=primary, nullable=False)


def _threads() -> None:
    op.create_table(
        "threads",
        Column("id", NAME, primary_key=True),
        Column("owner", NAME, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("updated_at", NAME, nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    op.create_index("threads_of_owner", "threads", ["owner", "updated_at", "id"])
    op.create_table(
        "turns",
        owned(primary=True),
        Column("id", NAME, primary_key=True),
        Column("position", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("tokens", LargeBinary),
    )
    op.create_index("turns_in_order", "turns", ["thread", "position"])
    op.create_table(
        "events",
        owned(primary=True),
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("body", LargeBinary, nullable=False),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        Column("n", SERIAL, primary_key=True),
        Column("id", NAME, nullable=False, unique=True),
        owned(primary=False),
        Column("owner", NAME, nullable=False),
        Column("finished", Boolean, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("request", LargeBinary, nullable=False),
        Column("digest", NAME, nullable=False),
        Column("answer", LargeBinary, nullable=False),
        Column("undo", LargeBinary, nullable=False),
        Column("base", LargeBinary, nullable=False),
        Column("base_tokens", LargeBinary),
        Column("text", LargeBinary, nullable=False),
        Column("tokens", LargeBinary, nullable=False),
        Column("started", LargeBinary),
        Column("accepted_at", NAME, nullable=False),
    )
    op.create_index("runs_of_thread", "runs", ["thread", "finished", "n"])
    op.create_index("runs_of_owner", "runs", ["owner", "finished", "n"])
    op.create_index(
        "runs_unfinished", "runs", ["n"], sqlite_where=text("finished = 0"), postgresql_where=text("NOT finished")
    )


def _answers() -> None:
    op.create_table(
        "answers",
        owned(primary=True),
        Column("principal", NAME, primary_key=True),
        Column("key", LargeBinary, primary_key=True),
        Column("digest", NAME, nullable=False),
        Column("answer", LargeBinary, nullable=False),
        Column("expires", Float, nullable=False),
    )
    op.create_index("answers_by_expiry", "answers", ["expires"])
