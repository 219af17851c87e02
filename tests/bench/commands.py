"""Thread commands a second with 50 clients, each on a thread of its own: over SQLite and over PostgreSQL.

Every client sends its next command when the last one is answered: two appends, an edit, a change of the title, and a
look at the newest messages. What is answered survives the server's end in SQLite, as it is set up here, and the
machine's in PostgreSQL, which syncs each commit. PostgreSQL is Debian's; without it its row is left out.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.bench.bench import Bench
from tests.bench.processes import Server, shares
from tests.bench.readers import Reader, Readers
from tests.bench.report import Row
from tests.postgres import PostgresServer

SQLITE, POSTGRESQL = "commands-sqlite", "commands-postgresql"
NAMES = (SQLITE, POSTGRESQL)
CLIENTS = 50
SECONDS = 10.0
TEXT = "A sentence of the length that people write to each other in a chat, with a second half."


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """A row for each database, without a bound."""
    if SQLITE in names:
        with bench.serving("--store", "sqlite") as server:
            yield _row(bench, SQLITE, server, {})
    if POSTGRESQL in names and _there():
        with _postgres() as (url, process), bench.serving("--store", url) as server:
            yield _row(bench, POSTGRESQL, server, {"postgres": process})


def _there() -> bool:
    return bool(shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))


@contextmanager
def _postgres() -> Iterator[tuple[str, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # it runs as another user
        server = PostgresServer(Path(folder), durable=True)
        server.make()
        server.start()
        try:
            yield server.create(), Family(server.pid)
        finally:
            server.stop()


class Family(psutil.Process):
    """A process with its children: PostgreSQL has one for every connection."""

    def cpu_times(self) -> Any:
        """The sum of what all of them took so far."""
        own = super().cpu_times()
        children = [child.cpu_times() for child in self.children()]
        return own._replace(
            user=own.user + sum(each.user for each in children),
            system=own.system + sum(each.system for each in children),
        )


class Client:
    """One connection with one thread, which always has one command under way."""

    def __init__(self, reader: Reader, name: str) -> None:
        self.reader = reader
        self.took: list[float] = []
        self._thread = name
        self._number = 10
        self._sent_at = 0.0
        self._said = ""
        self._seen = len(reader.heard)

    def next(self) -> None:
        """Send the next command."""
        self._number += 1
        kind, fields = self._command()
        self._sent_at = time.monotonic()
        self.reader.send(kind, self._number, thread=self._thread, **fields)

    def _command(self) -> tuple[str, dict[str, Any]]:
        match self._number % 5:
            case 0 | 1:
                self._said = f"m{self._number}"
                message = {"role": "user", "content": TEXT, "id": self._said}
                return "mutate", {"ops": [{"op": "append", "message": message}]}
            case 2:
                return "mutate", {"ops": [{"op": "edit", "message": self._said, "content": TEXT[::-1]}]}
            case 3:
                return "thread.update", {"title": f"Title {self._number}"}
            case _:
                return "thread.get", {"limit": 5}

    def heed(self) -> None:
        """Look at what has come; when it is the answer, ask the next."""
        for heard in self.reader.heard[self._seen :]:
            message = heard.message()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(message["error"]["message"])
                self.took.append(heard.at - self._sent_at)
                self.next()
        self._seen = len(self.reader.heard)


def _row(bench: Bench, name: str, server: Server, more: dict[str, psutil.Process]) -> Row:
    seconds = SECONDS / 3 if bench.quick else SECONDS
    with closing(Readers(server.ws_url)) as readers:
        opened = readers.open(CLIENTS)
        clients = [Client(reader, f"{name}-{number}") for number, reader in enumerate(opened)]
        for number, reader in enumerate(opened):
            reader.send("thread.create", 1, thread=f"{name}-{number}")
            reader.send("subscribe", 2, thread=f"{name}-{number}")
        readers.ask(opened, "ping", 3)
        bench.say(f"{name}: {CLIENTS} clients, {seconds:.0f} s")
        commits = len(server.commits())
        with shares({**server.processes(), **more}) as taken:
            began = time.monotonic()
            for client in clients:
                client.next()
            while time.monotonic() < began + seconds:
                readers.listen(0.1)
                for client in clients:
                    client.heed()
            wall = time.monotonic() - began
    return _told(name, clients, wall, taken, server.commits()[commits:])


def _told(name: str, clients: list[Client], wall: float, taken: dict[str, float], commits: list[float]) -> Row:
    took = sorted(seconds for client in clients for seconds in client.took)
    database = "SQLite" if name == SQLITE else "PostgreSQL"
    parts = ", ".join(f"{part} {share:.0%}" for part, share in taken.items())
    return Row(
        name=name,
        claim=f"thread commands a second, {CLIENTS} clients, {database}",
        measured=len(took) / wall,
        bound=None,
        at_least=True,
        notes=f"{median(took) * 1000:.1f} ms p50, {took[len(took) * 99 // 100] * 1000:.1f} ms p99; a change waits "
        f"{median(commits) * 1000:.1f} ms for its transaction (p50; 4 of 5 have one); CPU of one core: {parts}",
        raw={"took": took, "commits": commits, "cpu": taken},
    )
