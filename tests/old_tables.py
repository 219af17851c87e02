"""Databases as they were: the tables of the first two versions, word by word, and rows as those versions wrote them."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from livethread_server.store.rows import run_row, thread_row, turn_row
from tests.fakes import a_run, a_thread, a_turn

VERSION_1 = """
CREATE TABLE meta (name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name));
CREATE TABLE threads (id NAME NOT NULL, owner NAME NOT NULL, version BIGINT NOT NULL, seq BIGINT NOT NULL,
    updated_at NAME NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id));
CREATE INDEX threads_of_owner ON threads (owner, updated_at, id);
CREATE TABLE answers (thread NAME NOT NULL, principal NAME NOT NULL, "key" BLOB NOT NULL, digest NAME NOT NULL,
    answer BLOB NOT NULL, expires FLOAT NOT NULL, PRIMARY KEY (thread, principal, "key"),
    FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE INDEX answers_by_expiry ON answers (expires);
CREATE TABLE events (thread NAME NOT NULL, seq BIGINT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (thread, seq),
    FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE TABLE runs (n SERIAL NOT NULL, id NAME NOT NULL, thread NAME NOT NULL, owner NAME NOT NULL,
    finished BOOLEAN NOT NULL, body BLOB NOT NULL, request BLOB NOT NULL, digest NAME NOT NULL, answer BLOB NOT NULL,
    undo BLOB NOT NULL, base BLOB NOT NULL, base_tokens BLOB, text BLOB NOT NULL, tokens BLOB NOT NULL, started BLOB,
    accepted_at NAME NOT NULL, PRIMARY KEY (n), UNIQUE (id),
    FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE INDEX runs_of_owner ON runs (owner, finished, n);
CREATE INDEX runs_of_thread ON runs (thread, finished, n);
CREATE INDEX runs_unfinished ON runs (n) WHERE UNFINISHED;
CREATE TABLE turns (thread NAME NOT NULL, id NAME NOT NULL, position BIGINT NOT NULL, body BLOB NOT NULL, tokens BLOB,
    PRIMARY KEY (thread, id), FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE INDEX turns_in_order ON turns (thread, position)
"""
VERSION_2 = f"""{VERSION_1};
CREATE TABLE invites (thread NAME NOT NULL, digest NAME NOT NULL, role TEXT NOT NULL, expires FLOAT NOT NULL,
    PRIMARY KEY (thread, digest), FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE TABLE shares (thread NAME NOT NULL, principal NAME NOT NULL, role TEXT NOT NULL, PRIMARY KEY (thread, principal),
    FOREIGN KEY(thread) REFERENCES threads (id) ON DELETE CASCADE);
CREATE INDEX shares_of_principal ON shares (principal, thread)
"""
SCRIPTS = {1: VERSION_1, 2: VERSION_2}
WORDS = {
    "sqlite": {"NAME": "TEXT", "SERIAL": "INTEGER", "UNFINISHED": "finished = 0"},
    "postgresql": {"NAME": 'TEXT COLLATE "C"', "SERIAL": "BIGSERIAL", "UNFINISHED": "NOT finished", "BLOB": "BYTEA"},
}


def make(version: int, connection: Connection) -> None:
    """Make a database of a version, with the thread ``t``, a message, a run, an event and an answer in it."""
    for statement in SCRIPTS[version].split(";\n"):
        for word, means in WORDS[connection.dialect.name].items():
            statement = statement.replace(f" {word}", f" {means}")
        connection.execute(text(statement))
    insert = partial(_insert, connection)
    insert("meta", {"name": "schema_version", "value": version})
    insert("threads", thread_row(a_thread(seq=1)))
    insert("turns", turn_row("t", a_turn(1, "Hello\0", (1, 2))))
    insert("runs", run_row(a_run()))
    insert("events", {"thread": "t", "seq": 1, "body": b"1"})
    answer = {"principal": "alice", "key": b"k", "digest": "d", "answer": b"{}", "expires": 9.0}
    insert("answers", {"thread": "t"} | answer)
    if version > 1:
        insert("shares", {"thread": "t", "principal": "bob", "role": "viewer"})


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    columns, values = ", ".join(f'"{column}"' for column in row), ", ".join(f":{column}" for column in row)
    connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)
