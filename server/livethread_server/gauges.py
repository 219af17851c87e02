"""What a server's rooms can be asked for at any moment: the gauges of ``/metrics``.

It must never know what a scrape looks like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from livethread_server.engine.engine import Engine
from livethread_server.hub import Hub
from livethread_server.runs import Runs
from livethread_server.tasks.tasks import Tasks
from livethread_server.websocket import WebSocketDoor

UNFINISHED = ("queued", "running")


class Gauges:
    """The rooms whose figures make `metrics.Gauges`."""

    def __init__(self, door: WebSocketDoor, hub: Hub, runs: Runs, engine: Engine, tasks: Tasks) -> None:
        self._door = door
        self._hub = hub
        self._runs = runs
        self._engine = engine
        self._tasks = tasks

    @property
    def sessions(self) -> int:
        """Open sessions."""
        return self._door.sessions

    @property
    def subscribers(self) -> int:
        """Pairs of a session and a thread that it listens to."""
        return self._hub.subscriptions

    @property
    def outbox_bytes(self) -> int:
        """Bytes that wait to be written to sockets."""
        return self._door.waiting_bytes

    @property
    def runs(self) -> Mapping[str, int]:
        """Unfinished runs by state."""
        return self._runs.by_state()

    @property
    def unfinished_tasks(self) -> Mapping[tuple[str, str], int]:
        """Stateless tasks that are not over, by kind and state."""
        states = self._tasks.by_state()
        return {(kind, state): counts.get(state, 0) for kind, counts in states.items() for state in UNFINISHED}

    @property
    def tasks(self) -> int:
        """Tasks of the event loop, the one that asks among them."""
        return len(asyncio.all_tasks())

    @property
    def restarts(self) -> int:
        """How often the engine was started again."""
        return self._engine.restarts

    @property
    def ready(self) -> bool:
        """Whether a generation would work."""
        return self._engine.trouble is None
