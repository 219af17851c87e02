"""The server is killed with SIGKILL at random moments of a made-up conversation, and started again each time.

After each kill the database is looked at as it lies there: what the client was told must be in it, as it was told. In
the end every run that was ever accepted must have one end, and one only.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.processes import Server
from tests.bench.report import Row
from tests.bench.script import Conversation, Witness
from tests.bench.wire import Wire

KILL = "kill-server"
NAMES = (KILL,)
SEED = 4
LONGEST = 3.0
"""Seconds into a conversation when the server is killed at the latest."""
KILLS_EACH = 4
"""How many kills a conversation's threads live through."""
PATIENCE = 180.0
"""Seconds in which the runs that are left must end after the last kill."""


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row."""
    if KILL not in names:
        return
    kills = 5 if bench.quick else 50
    chance, witness, wrong = random.Random(SEED), Witness(), []
    with bench.serving() as server:
        database = server.folder / "state" / "livethread.db"
        for number in range(kills):
            _converse_until_killed(server, witness, chance, f"talk-{number // KILLS_EACH}")
            wrong += lost(database, witness)
            server.launch()
            bench.say(f"{KILL}: {number + 1} of {kills}, {len(witness.events)} events, {len(witness.runs)} runs")
            (server.wait_healthy if chance.random() < 0.7 else server.wait_listening)()
        server.wait_healthy()
        _wait_for_ends(database)
        server.stop()
        wrong += lost(database, witness) + endless(database, witness)
        ends = reasons(database)
    yield _row(kills, witness, wrong, ends)


def _converse_until_killed(server: Server, witness: Witness, chance: random.Random, name: str) -> None:
    wire = Wire(server.ws_url)
    killer = threading.Timer(chance.uniform(0.01, LONGEST), server.send_signal, (signal.SIGKILL,))
    killer.start()
    try:
        with closing(wire):
            Conversation(wire, witness, chance, name).hold()
    except ConnectionError:
        killer.join()
        server.wait()


def _wait_for_ends(database: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while left := _select(database, "SELECT count(*) FROM runs WHERE NOT finished")[0][0]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} runs have not ended {PATIENCE:g} s after the last start.")
        time.sleep(0.2)


def lost(database: Path, witness: Witness) -> list[str]:
    """What was announced and is not in the database as it was announced."""
    events = {(thread, seq): body for thread, seq, body in _select(database, "SELECT thread, seq, body FROM events")}
    versions = dict(_select(database, "SELECT id, version FROM threads"))
    runs = {run for (run,) in _select(database, "SELECT id FROM runs")}
    wrong = [f"event {at}" for at, told in witness.events.items() if json.loads(events.get(at, "null")) != told]
    wrong += [
        f"version {version} of {at}" for at, version in witness.versions.items() if versions.get(at, -1) < version
    ]
    return [*wrong, *(f"run {run}" for run in witness.runs if run not in runs), *map(str, witness.failures)]


def endless(database: Path, witness: Witness) -> list[str]:
    """Runs that do not have one end, and one only."""
    ends = Counter(event["run"] for event in _events(database, "run.finished"))
    known = {run for (run,) in _select(database, "SELECT id FROM runs")}
    return [f"{ends[run]} ends of run {run}" for run in known | witness.runs.keys() if ends[run] != 1]


def reasons(database: Path) -> Counter[str]:
    """How many runs ended how, and how many times one was recovered."""
    found = Counter(event["reason"] for event in _events(database, "run.finished"))
    return found + Counter(event["type"] for event in _events(database, "run.recovered"))


def _events(database: Path, kind: str) -> list[dict[str, str]]:
    events = [json.loads(body) for (body,) in _select(database, "SELECT body FROM events")]
    return [event for event in events if event["type"] == kind]


def _select(database: Path, query: str) -> list[tuple]:  # type: ignore[type-arg]
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _row(kills: int, witness: Witness, wrong: list[str], ends: Counter[str]) -> Row:
    told = ", ".join(f"{count} {kind}" for kind, count in ends.most_common())
    return Row(
        name=KILL,
        claim=f"announced and lost, or runs without one end, after {kills} × kill -9 of the server",
        measured=len(set(wrong)),
        bound=0,
        at_least=False,
        notes=f"{len(witness.events)} events and {len(witness.runs)} runs were announced; {told}"
        + (f"; wrong: {sorted(set(wrong))[:5]}" if wrong else ""),
        raw=sorted(set(wrong)),
    )
