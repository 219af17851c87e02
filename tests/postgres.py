"""A real PostgreSQL server for tests: on a folder, a user and a port of its own, gone when the tests are."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving import free_port

PASSWORD = "s3cret"
START_SECONDS = 60.0
FLAGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "deadlock_timeout": "50ms",
    # What is lost with the machine is not missed.
    "fsync": "off",
    "full_page_writes": "off",
}


DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "autovacuum": "on"}
"""What a server for real data has instead."""


class PostgresServer:
    """PostgreSQL's own programs on a folder of its own. People come in by its socket without a password, and by the
    loopback address with one. Its language is not one that sorts by bytes. A ``durable`` one would survive a power cut.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self._flags = FLAGS | (DURABLE if durable else {})
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._secret = folder / "secret"

    def make(self) -> None:
        """Make the files of a server."""
        self._secret.write_text(PASSWORD)
        self._give_to_user(self.folder, self._secret)
        words = (
            "--no-sync --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US --username=postgres"
        )
        ways = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={self._secret}"]
        made = subprocess.run(
            [program("initdb"), *words.split(), *ways, str(self.folder / "data")],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self._user(),
        )
        assert made.returncode == 0, made.stderr

    def start(self) -> None:
        """Start and wait until it lets people in."""
        command = [program("postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port)]
        command += [word for name, value in self._flags.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._user()
            )
        deadline = time.monotonic() + START_SECONDS
        ready = [program("pg_isready"), "--quiet", "-h", str(self.folder), "-p", str(self.port)]
        while subprocess.run(ready).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and whatever anybody has open there. What was committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    @property
    def pid(self) -> int:
        """The id of its first process. RuntimeError where it does not run."""
        if self._process is None:
            raise RuntimeError("PostgreSQL does not run.")
        return self._process.pid

    def create(self, *words: str) -> str:
        """Create an empty database; its URL."""
        name = f"test{next(self._numbers)}"
        self.sql("postgres", " ".join((f"CREATE DATABASE {name}", *words)))
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}&port={self.port}"

    def drop(self, url: str) -> None:
        """Remove a database, and whoever is still in there."""
        self.sql("postgres", f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def sql(self, database: str, *statements: str) -> list[str]:
        """What a database answers to SQL: a line a row, ``|`` between its values."""
        command = [program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]
        command += ["-h", str(self.folder), "-p", str(self.port), *(f"--command={one}" for one in statements)]
        answered = subprocess.run(command, capture_output=True, text=True)
        assert answered.returncode == 0, answered.stderr
        return answered.stdout.splitlines()

    def by_password(self, url: str, password: str = PASSWORD) -> str:
        """The URL of a database by the loopback address."""
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{name_of(url)}"

    def _user(self) -> dict[str, Any]:
        """PostgreSQL does not run as root."""
        if os.geteuid() != 0:
            return {}
        user = _unprivileged()
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _give_to_user(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, _unprivileged().pw_uid, _unprivileged().pw_gid)


def name_of(url: str) -> str:
    """The name of the database in a URL."""
    return url.partition("?")[0].rpartition("/")[2]


def program(name: str) -> str:
    """One of PostgreSQL's programs; Debian keeps those of the server off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    assert path, f"These tests need PostgreSQL 15 or later, and found no {name}. On Debian: apt-get install postgresql."
    return path


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs, and is nowhere after that."""
    folder = Path(tempfile.mkdtemp(prefix="livethread-postgres-"))
    server = PostgresServer(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _unprivileged() -> pwd.struct_passwd:
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
