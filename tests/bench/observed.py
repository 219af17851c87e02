"""The real server, which also notes when each run reached the engine process: the wire does not tell that.

    LIVETHREAD_BENCH_NOTES=FILE python -m tests.bench.observed serve …

One line of JSON per run in the file: run, ``arrived_at`` in the engine process and ``started_at``. Beside it, in a file
that ends in ``.tokens``, one line per delta: run, the position of its first token, and when it came. In one that ends
in ``.commits``, one line per change of a thread: how long the store took for it, in seconds.
"""

from __future__ import annotations

import json
import os
import time
from functools import wraps
from pathlib import Path

from livethread.messages import RunDelta
from livethread_server import cli
from livethread_server.engine.wire import Delta, Started
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun
from livethread_server.transaction import Transaction

NOTES = "LIVETHREAD_BENCH_NOTES"


def observe(path: Path) -> None:
    """From now on append what the engine says of each run that it starts."""
    notes, tokens = path.open("a", buffering=1), path.with_suffix(".tokens").open("a", buffering=1)
    start, extend = LiveRun.start, LiveRun.extend

    @wraps(start)
    def noted(run: LiveRun, transaction: Transaction, started: Started, instance: str) -> None:
        start(run, transaction, started, instance)
        notes.write(json.dumps({"run": run.id, "arrived_at": started.arrived_at, "started_at": started.at}) + "\n")

    @wraps(extend)
    def extended(run: LiveRun, delta: Delta) -> RunDelta:
        event = extend(run, delta)
        tokens.write(f"{run.id} {event.start} {time.monotonic()}\n")
        return event

    commits, commit = path.with_suffix(".commits").open("a", buffering=1), Lanes.commit

    @wraps(commit)
    async def committed(lanes: Lanes, lane: Lane, transaction: Transaction) -> None:
        before = time.monotonic()
        await commit(lanes, lane, transaction)
        commits.write(f"{time.monotonic() - before}\n")

    Lanes.commit = committed  # type: ignore[assignment, method-assign]
    LiveRun.start = noted  # type: ignore[assignment, method-assign]
    LiveRun.extend = extended  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    observe(Path(os.environ[NOTES]))
    cli.main()
