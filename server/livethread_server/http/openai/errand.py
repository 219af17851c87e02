"""The tasks of one request: begun together, waited for or listened to together, and ended when nobody waits any more.

It must never know what they are about, or how they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from livethread.model import Principal
from livethread_server.http.openai.errors import failure
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.said import Listener, Said
from livethread_server.tasks.tasks import Tasks

Heard = tuple[int, Said]
"""Which of the tasks said something, and what."""


class Errand:
    """`close` it when the request is over: its tasks end with it, unless it has a key with which its client may ask
    again for what they come to."""

    def __init__(self, tasks: Tasks, principal: Principal) -> None:
        self._tasks = tasks
        self._principal = principal
        self._live: list[LiveTask] = []
        self._lasting = False

    @property
    def id(self) -> str:
        """The id of the first task."""
        return self._live[0].id

    async def begin(self, kind: str, asked: Sequence[dict[str, Any]], key: str | None) -> None:
        """Make a task of each input. `CommandError` where one cannot be."""
        self._lasting = key is not None
        for place, one in enumerate(asked):
            own = key and (key if place == 0 else f"{key}-{place}")
            self._live.append(await self._tasks.create(self._principal, kind, one, key=own))

    async def results(self) -> list[Any]:
        """What each has come to. `CommandError` why there is none."""
        for live in self._live:
            await live.ended()
            self._check()
        return [live.shown().result for live in self._live]

    async def first(self) -> None:
        """Return once any has said something, or all are done. `CommandError` as for `results`."""
        async for _ in self.heard():
            return

    async def heard(self) -> AsyncGenerator[list[Heard], None]:
        """What they say, from the beginning; for a slow reader more of it at once. Ends when all are done.
        `CommandError` as for `results`."""
        something = asyncio.Event()
        with self._listening(something) as listeners:
            while True:
                over = all(live.over for live in self._live)
                # All are looked at before anybody waits: what one says meanwhile sets the event that they share.
                heard = [(place, said) for place, listener in enumerate(listeners) for said in listener.take()]
                if heard:
                    yield heard
                self._check()
                if over:
                    return
                await something.wait()

    def close(self) -> None:
        """End whatever has not ended, where nobody can come back for it."""
        if not self._lasting:
            for live in self._live:
                self._tasks.end(live, "cancelled")

    @contextmanager
    def _listening(self, something: asyncio.Event) -> Iterator[list[Listener]]:
        listeners = [live.listen() for live in self._live]
        try:
            for listener in listeners:
                listener.something = something
            yield listeners
        finally:
            for listener in listeners:
                listener.leave()

    def _check(self) -> None:
        for live in self._live:
            if live.over and live.state != "done":
                raise failure(live.shown(result=False))
