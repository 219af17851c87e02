"""The processes that are measured: the server with its engine, and the client; and how much CPU they take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from tests.bench.jobs import Job, Outcome
from tests.bench.observed import NOTES
from tests.serving import ServerProcess


class Note(Struct, frozen=True):
    """When a run arrived in the engine process, and when it got its sequence there."""

    run: str
    arrived_at: float
    started_at: float


class Server(ServerProcess):
    """The real server, observed."""

    def launch(self) -> None:
        """Start and wait for nothing."""
        command = [sys.executable, "-m", "tests.bench.observed", "serve", "--port", str(self.port)]
        command += ["--state-dir", str(self.folder / "state"), *self._flags]
        environment = {**os.environ, NOTES: str(self._notes)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    @property
    def _notes(self) -> Path:
        return self.folder / "notes.jsonl"

    def notes(self) -> dict[str, Note]:
        """What was noted so far, by run."""
        notes = [msgspec.json.decode(line, type=Note) for line in self._notes.read_bytes().splitlines()]
        return {note.run: note for note in notes}

    def tokens(self, run: str) -> dict[int, float]:
        """When the deltas of a run left the engine process, by the position of their first token."""
        lines = (line.split() for line in self._notes.with_suffix(".tokens").read_text().splitlines())
        return {int(start): float(at) for of, start, at in lines if of == run}

    def commits(self) -> list[float]:
        """How many seconds the store took for each change of a thread so far."""
        return [float(line) for line in self._notes.with_suffix(".commits").read_text().splitlines()]

    def processes(self) -> dict[str, psutil.Process]:
        """Its own process and the engine's."""
        engine = self.engine()
        parent = engine.parent()
        assert parent is not None
        return {"server": parent, "engine": engine}


class Load:
    """The client process."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.bench.load", url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process = psutil.Process(self._process.pid)

    def carry_out(self, job: Job) -> Outcome:
        """Let the client do a job and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The client process ended; what it wrote above says why.")
        return msgspec.json.decode(line, type=Outcome)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


_SELF = "bench"


@contextmanager
def shares(processes: dict[str, psutil.Process]) -> Iterator[dict[str, float]]:
    """How much of one CPU each process takes in the block, filled in at its end: 1.0 is a whole one.

    ``others`` is what the rest of the machine takes, which disturbs; this process does not count.
    """
    taken: dict[str, float] = {}
    ours = {**processes, _SELF: psutil.Process()}
    before, busy, start = {name: _seconds(process) for name, process in ours.items()}, _busy(), time.monotonic()
    yield taken
    wall = time.monotonic() - start
    taken.update({name: (_seconds(process) - before[name]) / wall for name, process in ours.items()})
    taken["others"] = max(0.0, (_busy() - busy) / wall - sum(taken.values()))
    del taken[_SELF]


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
