"""What a session costs that does nothing: 5,000 of them on one server, each greeted and subscribed to nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from tests.bench.bench import Bench
from tests.bench.readers import Readers, many_files
from tests.bench.report import Row

IDLE = "idle-sessions"
NAMES = (IDLE,)
SESSIONS = 5000
BOUND_KIB = 40.0
REST_SECONDS = 25.0
"""Long enough for every session's handshake timer to be over and a ping to have gone round."""


def measure(bench: Bench, names: frozenset[str]) -> Iterator[Row]:
    """One row: resident memory of the server's process, per session."""
    if IDLE not in names:
        return
    count = 1000 if bench.quick else SESSIONS
    with many_files(2 * count + 1000), bench.serving() as server, closing(Readers(server.ws_url)) as readers:
        bench.say(f"{IDLE}: {count} sessions")
        readers.ask(readers.open(100), "hello", 1)  # what is made once is made
        process = server.processes()["server"]
        before = process.memory_info().rss
        began = time.monotonic()
        readers.ask(readers.open(count), "hello", 1)
        opened = time.monotonic() - began
        while time.monotonic() < began + opened + REST_SECONDS:
            readers.listen(1.0)
        after = process.memory_info().rss
        here = sum(not reader.closed for reader in readers.readers.values()) - 100
    yield Row(
        name=IDLE,
        claim=f"resident memory of an idle session, of {count}",
        measured=(after - before) / count / 1024,
        bound=BOUND_KIB,
        at_least=False,
        unit=" KiB",
        notes=f"{here} still open after {REST_SECONDS:g} s and a ping; {count / opened:.0f} handshakes with hello a "
        f"second; server {before / 1e6:.0f} → {after / 1e6:.0f} MB",
        raw={"before": before, "after": after, "open": here, "seconds": opened},
    )
