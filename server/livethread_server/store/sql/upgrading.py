"""Brings a database to the tables of this version, whichever version it has.

``meta`` says which that is, since before there was Alembic; Alembic's own table, whose revisions are these numbers,
follows it. This module must never know which database it is.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, select

from livethread_server.store.base import Unusable
from livethread_server.store.sql.schema import META, SCHEMA_VERSION, TABLES

MIGRATIONS = Path(__file__).parent / "migrations"
# As Alembic makes it. It is apart from our tables, because it is not ours.
STAMP = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def prepare(place: str, connection: Connection) -> None:
    """Make the tables or upgrade them, in the transaction of the connection: all or nothing.

    `Unusable` where the database is of a later version; ``place`` is what the sentence calls it.
    """
    META.create(connection, checkfirst=True)
    found = connection.scalar(select(META.c.value).where(META.c.name == "schema_version"))
    if found is None:
        TABLES.create_all(connection)
        connection.execute(META.insert(), {"name": "schema_version", "value": SCHEMA_VERSION})
    elif not 1 <= found <= SCHEMA_VERSION:
        raise Unusable(
            f"The database {place!r} has schema version {found}, this livethread knows {SCHEMA_VERSION}. "
            "Use the livethread that wrote it or a newer one, or choose another place."
        )
    elif found < SCHEMA_VERSION:
        stamp(found, connection)
        migrate(connection)
    stamp(SCHEMA_VERSION, connection)
    # A file that may only be read must be found out now, not by the first message: so always write.
    connection.execute(META.update().where(META.c.name == "schema_version"), {"value": SCHEMA_VERSION})


def stamp(version: int, connection: Connection) -> None:
    """Write down for Alembic which version the database has."""
    STAMP.create(connection, checkfirst=True)
    connection.execute(STAMP.delete())
    connection.execute(STAMP.insert(), {"version_num": f"{version:04}"})


def migrate(connection: Connection) -> None:
    """Take all steps from the version that is stamped to the newest, in the transaction of the connection."""
    # Loaded only where there is something to do: it takes longer than a server needs to open its store.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
