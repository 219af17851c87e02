"""The tasks of one request: begun together, waited for or listened to together, and ended when nobody waits any more.

It must never know what they are about, or how they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from starlette.types import Receive

from livethread.model import Principal
from livethread_server.http.openai.errors import failure
from livethread_server.tasks.live_task import LiveTask
from livethread_server.tasks.said import Said
from livethread_server.tasks.tasks import Tasks

BEAT_SECONDS = 15.0
"""How long it may be silent on the way to a listener: proxies give up what says nothing for a minute."""

Heard = tuple[int, Said]
"""Which of the tasks said something, and what."""


class Errand:
    """Use it with ``async with``: behind it all its tasks have ended, and they end as soon as the client is gone.

    ``receive`` gives the request's ASGI messages; the body has been read.
    """

    def __init__(self, tasks: Tasks, principal: Principal, receive: Receive) -> None:
        self._tasks = tasks
        self._principal = principal
        self._live: list[LiveTask] = []
        self._gone = False
        self._watch = asyncio.create_task(self._until_gone(receive))

    @property
    def id(self) -> str:
        """The id of the first task."""
        return self._live[0].id

    async def begin(self, kind: str, asked: Sequence[dict[str, Any]], key: str | None) -> None:
        """Make a task of each input. `CommandError` where one cannot be."""
        for place, one in enumerate(asked):
            own = key and (key if place == 0 else f"{key}-{place}")
            self._live.append(await self._tasks.create(self._principal, kind, one, key=own))
        if self._gone:
            self.close()

    async def results(self) -> list[Any]:
        """What each has come to. Raises why there is none."""
        for live in self._live:
            await live.ended()
            self._check()
        return [live.shown().result for live in self._live]

    async def heard(self) -> AsyncGenerator[list[Heard]]:
        """What they say, from the beginning; for a slow reader more of it at once, and nothing every `BEAT_SECONDS`.
        Raises why one ended before it was done; else `results` has what they have come to."""
        pulse = _Pulse()
        listeners = [live.listen() for live in self._live]
        for listener in listeners:
            listener.something = pulse.something
        try:
            while True:
                over = all(live.over for live in self._live)
                # All are looked at before anybody waits: what one says meanwhile sets the event that they share.
                heard = [(place, said) for place, listener in enumerate(listeners) for said in listener.take()]
                if heard or pulse.due:
                    pulse.due = False
                    yield heard
                self._check()
                if over:
                    return
                await pulse.something.wait()
        finally:
            pulse.stop()
            for listener in listeners:
                listener.leave()

    def close(self) -> None:
        """End whatever has not ended."""
        self._gone = True
        self._watch.cancel()
        for live in self._live:
            self._tasks.end(live, "cancelled")

    async def __aenter__(self) -> Errand:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.close()

    def _check(self) -> None:
        for live in self._live:
            if live.over and live.state != "done":
                raise failure(live.shown(result=False))

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.close()


class _Pulse:
    """An event that something happened, if only that time went by: then a beat is ``due``."""

    def __init__(self) -> None:
        self.something = asyncio.Event()
        self.due = False
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """It never beats again."""
        self._timer.cancel()

    def _beat(self) -> None:
        self.due = True
        self.something.set()
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
