"""A store in an SQL database, written on SQLAlchemy Core: SQLite now, PostgreSQL next.

This folder is the only one that knows SQL. ``changes`` and ``queries`` are plain functions over one
connection in one transaction, and portable; ``sqlite`` alone knows which connections and OS threads they
run on.
"""

from livethread_server.store.sql.store import SqlStore

__all__ = ["SqlStore"]
