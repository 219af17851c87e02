"""Shares and invites."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Text

revision = "0002"
down_revision = "0001"

NAME = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make both tables, empty: until now a thread was its owner's alone."""
    op.create_table(
        "shares",
        owned(),
        Column("principal", NAME, primary_key=True),
        Column("role", Text, nullable=False),
    )
    op.create_index("shares_of_principal", "shares", ["principal", "thread"])
    op.create_table(
        "invites",
        owned(),
        Column("digest", NAME, primary_key=True),
        Column("role", Text, nullable=False),
        Column("expires", Float, nullable=False),
    )


def owned() -> Column[str]:
    """The column that ties a row to its thread and to the thread's end."""
    return Column("thread", NAME, ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True, nullable=False)
