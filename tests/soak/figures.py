"""What the server takes, seen from outside: memory, sockets, tasks, runs."""

from __future__ import annotations

import httpx
import psutil
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tests.serving import ServerProcess

MIB = 1 << 20


class Figures(Struct, frozen=True):
    """One look. Memory in MiB; ``sockets`` are the server's open ones that do not listen."""

    server: float
    engine: float
    sockets: int
    tasks: int
    sessions: int
    unfinished: int
    running: int

    def told(self) -> str:
        """In a few words."""
        return (
            f"server {self.server:.0f} MiB, engine {self.engine:.0f} MiB, {self.sockets} sockets, {self.tasks} tasks, "
            f"{self.sessions} sessions, {self.unfinished} unfinished runs, {self.running} running sequences"
        )


def look(server: ServerProcess) -> Figures:
    """How it is now."""
    engine = server.engine()
    parent = engine.parent()
    assert parent is not None
    found = _metrics(server)
    connections = [each for each in parent.net_connections("tcp") if each.status != psutil.CONN_LISTEN]
    return Figures(
        server=parent.memory_info().rss / MIB,
        engine=engine.memory_info().rss / MIB,
        sockets=len(connections),
        tasks=int(found["livethread_tasks"]),
        sessions=int(found["livethread_sessions"]),
        unfinished=int(found["livethread_runs"]),
        running=int(found.get("livethread_running_sequences", 0)),
    )


def _metrics(server: ServerProcess) -> dict[str, float]:
    """Each metric's sum over its labels. The connection that asks is closed before anybody counts sockets."""
    with httpx.Client() as client:
        page = client.get(f"{server.url}/metrics", timeout=30, headers={"connection": "close"}).text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums
