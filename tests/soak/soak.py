"""The course of a soak: people, faults, looks in between, and what must hold in the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import psutil

import livethread
from livethread import Client
from tests.serving import ServerProcess
from tests.soak.figures import Figures, look
from tests.soak.people import Person
from tests.soak.proxy import Proxy

SERVER_KILLS = 0.3
"""The part of the time in which the server itself is killed too; memory is compared over the rest."""
ENGINE_EVERY, SERVER_EVERY, CUT_EVERY, CUT_ALL_EVERY, LOOK_EVERY = 45.0, 60.0, 3.0, 40.0, 15.0
SETTLE_SECONDS = 60.0
"""How long what is under way may take in the end."""
GROWTH, SLACK = 1.15, 16.0
"""By how much memory may grow over the second part, and MiB beside that."""
SPARE_TASKS = 3
"""Tasks of the server's own that come and go."""

Say = Callable[[str], None]


class Soak:
    """One soak of one server."""

    def __init__(self, server: ServerProcess, chance: random.Random, people: int, say: Say) -> None:
        self._server = server
        self._chance = chance
        self._count = people
        self._say = say
        self._proxy = Proxy(server.port)
        self._deadly = asyncio.Lock()

    async def run(self, seconds: float) -> list[str]:
        """Soak for so long; a sentence for each thing that did not hold."""
        before = look(self._server)
        self._say(f"soak: at the start {before.told()}")
        await self._proxy.start()
        end = asyncio.get_running_loop().time() + seconds
        people = [Person(self._proxy.url, number, self._chance.randrange(1 << 32)) for number in range(self._count)]
        looks: list[Figures] = []
        faults = [asyncio.create_task(each) for each in self._faults(seconds, looks)]
        await asyncio.gather(*(person.live(end) for person in people))
        for fault in faults:
            fault.cancel()
        for outcome in await asyncio.gather(*faults, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        if self._server.health() == 0:
            await asyncio.to_thread(self._server.restart)
        self._say(f"soak: {sum(person.turns for person in people)} turns")
        found = [complaint for person in people for complaint in person.complaints]
        return [*found, *await self._settled(before), *_grown(looks)]

    def _faults(self, seconds: float, looks: list[Figures]) -> list[Coroutine[Any, Any, None]]:
        calm = seconds * SERVER_KILLS
        return [
            self._every(CUT_EVERY, lambda: self._proxy.cut_one(self._chance)),
            self._every(CUT_ALL_EVERY, self._proxy.cut_all),
            self._every(ENGINE_EVERY, self._kill_engine),
            self._kill_servers(calm),
            self._look_on(calm, looks),
        ]

    async def _every(self, seconds: float, fault: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds * self._chance.uniform(0.5, 1.5))
            async with self._deadly:
                fault()

    def _kill_engine(self) -> None:
        with contextlib.suppress(AssertionError, psutil.NoSuchProcess):  # it is just being started again
            self._server.engine().kill()
            self._say("soak: the engine was killed")

    async def _kill_servers(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while True:
            await asyncio.sleep(SERVER_EVERY * self._chance.uniform(0.5, 1.5))
            if asyncio.get_running_loop().time() > until:
                return
            async with self._deadly:
                await asyncio.to_thread(self._server.stop, signal.SIGKILL)
                await asyncio.to_thread(self._server.start)
                self._say("soak: the server was killed and started again")

    async def _look_on(self, after: float, looks: list[Figures]) -> None:
        await asyncio.sleep(after)
        while True:
            await asyncio.sleep(LOOK_EVERY)
            async with self._deadly:
                with contextlib.suppress(AssertionError, psutil.NoSuchProcess):  # there is no engine just now
                    looks.append(await asyncio.to_thread(look, self._server))
                    self._say(f"soak: {looks[-1].told()}")

    async def _settled(self, before: Figures) -> list[str]:
        """What is left over when everybody has gone, and threads that are not as they should be."""
        found: list[str] = []
        async with livethread.connect(self._server.ws_url) as client:
            found += await _unfinished(client)
        await self._proxy.stop()
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        left = _left_over(before, await asyncio.to_thread(look, self._server))
        while left and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(1)
            left = _left_over(before, await asyncio.to_thread(look, self._server))
        return [*found, *left]


async def _unfinished(client: Client) -> list[str]:
    """Wait for the runs that still go on; messages that no run will ever end."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while any(run.state != "finished" for run in await client.runs()):  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.2)
    found = []
    async for summary in client.threads():
        thread = client.thread(summary.id)
        await thread.attach()
        found += [
            f"Message {message.id} of {thread.id} is {message.state} without a run."
            for message in thread.messages
            if message.state in ("queued", "streaming")
        ]
    return found


def _left_over(before: Figures, now: Figures) -> list[str]:
    found = []
    for name, allowed in (("sockets", 0), ("sessions", 0), ("unfinished", 0), ("running", 0)):
        if getattr(now, name) > allowed:
            found.append(f"{getattr(now, name)} {name} are left over.")
    if now.tasks > before.tasks + SPARE_TASKS:
        found.append(f"{now.tasks} tasks are left, {before.tasks} were there at the start.")
    return found


def _grown(looks: list[Figures]) -> list[str]:
    """Memory at the end against memory early in the second part, medians of a quarter each."""
    quarter = len(looks) // 4
    if not quarter:
        return ["The soak was too short to compare memory: give it more --minutes."]
    found = []
    for name in ("server", "engine"):
        early, late = (
            sorted(getattr(each, name) for each in part)[len(part) // 2] for part in (looks[:quarter], looks[-quarter:])
        )
        if late > early * GROWTH + SLACK:
            found.append(f"The {name}'s memory grew from {early:.0f} to {late:.0f} MiB.")
    return found
