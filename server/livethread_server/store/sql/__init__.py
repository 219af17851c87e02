"""A store in an SQL database, written on SQLAlchemy Core: SQLite and PostgreSQL.

This folder is the only one that knows SQL. ``changes`` and ``queries`` are plain functions over one
connection in one transaction, and portable; ``sqlite`` and ``postgresql`` alone know which connections, OS threads
and tasks they run on. ``schema`` is what the tables are, ``migrations`` how they came to be so.
"""

from livethread_server.store.sql.store import SqlStore

__all__ = ["SqlStore"]
