"""Whatever is done, and however often the server dies: nothing announced is lost, and every run ends once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from livethread import messages as wire
from livethread.codec import to_event
from livethread.errors import CommandError, ErrorCode
from livethread.model import Thread
from livethread.replica import apply, begin
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.house import Guest, House, crash

LOADING = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again in a moment.")
REFUSALS = (ErrorCode.BUSY, ErrorCode.MODEL_LOADING, ErrorCode.BAD_REQUEST, ErrorCode.NOT_FOUND)
GENERATES = ("reject", "enqueue", "interrupt", "rollback")
RARE = (*GENERATES, "regenerate", "continue", "finish", "append", "edit", "cancel", "load")
STEPS = (*RARE, *("enqueue", "say", "say", "flush", "die") * 3)


class Undying(MemoryStore):
    """What is in it outlives its servers."""

    async def close(self) -> None:
        """Keep everything."""


class Lives:
    """Servers over one store, and somebody who listens whenever there is one."""

    def __init__(self, vocabulary: Vocabulary, grammars: GrammarCheck) -> None:
        self._rooms = (Undying(), vocabulary, grammars)
        self.house = House(*self._rooms)
        self.accepted: set[str] = set()
        self.told: list[wire.DurableEvent] = []
        self._started: set[str] = set()
        self._count = 0
        self._guest: Guest
        self._joined: Thread

    async def begin(self) -> None:
        await self.house.guest().ask(wire.ThreadCreate, thread="t")
        await self._join()

    async def do(self, step: str) -> None:
        """One step, whatever comes of it, and all that follows from it by itself."""
        self._count += 1
        try:
            await self._do(step)
        except CommandError as error:
            if error.code not in REFUSALS:
                raise
        await self._settle()

    async def end(self) -> None:
        """Let all runs end, and check what was announced."""
        self.house.engine.trouble = None
        await self._settle()
        while self.house.runs._live:
            await self.do("finish")
        await self._leave()
        events = await self.house.store.events("t", 0, 1000)
        stored = {event.seq: to_event(json.loads(event.body)) for event in events}
        assert all(stored[event.seq] == event for event in self.told)
        ends = Counter(event.run for event in stored.values() if isinstance(event, wire.RunFinished))
        assert ends == dict.fromkeys(self.accepted, 1)

    async def _do(self, step: str) -> None:
        content = f"{step} {self._count}"
        op = {"op": "append", "message": {"role": "user", "content": content}}
        if step in GENERATES:
            await self._generate(if_busy=step, ops=[op])
        elif step in ("regenerate", "continue"):
            await self._generate(if_busy="interrupt", mode=step)
        elif step == "append":
            await self._guest.ask(wire.Mutate, ops=[op])
        elif step == "edit":
            messages = (await self._guest.ask(wire.ThreadGet)).thread.messages
            ops = [{"op": "edit", "message": message.id, "content": content} for message in messages[:1]]
            await self._guest.ask(wire.Mutate, ops=ops or [op], if_busy="interrupt")
        elif step in ("die", "load"):
            await self._leave()
            await self._die(loading=step == "load")
        else:
            await self._run(step)

    async def _generate(self, **fields: object) -> None:
        ok = await self._guest.ask(wire.Generate, run=f"r{self._count}", **fields)
        self.accepted.add(ok.run)

    async def _run(self, step: str) -> None:
        """Something that becomes of the run that streams, if one does."""
        run = next(iter(self.house.engine._outputs), None)
        if run is None:
            self.house.engine.trouble = None
            return
        if step == "flush":
            live = self.house.runs.get(run)
            assert live is not None
            await self.house.store.flush(run, live.text, tuple(live.tokens))
        elif step == "cancel":
            await self._guest.ask(wire.Cancel, run=run)
        elif run not in self._started:
            self._started.add(run)
            self.house.engine.start(run)
        elif step == "say":
            self.house.engine.say(run, f"{self._count} ", (self._count,))
        else:
            self.house.engine.finish(run)

    async def _die(self, *, loading: bool) -> None:
        await crash(self.house)
        self._started.clear()
        self.house = House(*self._rooms)
        self.house.engine.trouble = LOADING if loading else None
        await self.house.recovery.resume()
        await self._join()

    async def _settle(self) -> None:
        """Until all is said and done."""
        for _ in range(30):
            await asyncio.sleep(0)
        lane = self.house.lanes.peek("t")
        if self.house.engine.trouble is None and lane is not None and lane.runs:
            await self.house.engine.taken(lane.runs[0].id)
        for _ in range(30):
            await asyncio.sleep(0)

    async def _join(self) -> None:
        self._guest = self.house.guest()
        joined = await self._guest.ask(wire.Subscribe)
        self._joined = begin(joined.thread, joined.run)

    async def _leave(self) -> None:
        """What was heard must be without a gap, and make a copy of the thread."""
        got = await self._guest.ask(wire.ThreadGet)
        copy = self._joined
        for event in await self._guest.heard():
            copy = apply(copy, event)
            if isinstance(event, wire.DurableEvent):
                self.told.append(event)
        assert copy == begin(got.thread, got.run)


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_announced_is_lost_and_every_run_ends_once(
    vocabulary: Vocabulary, model_path: Path, seed: int
) -> None:
    lives = Lives(vocabulary, GrammarCheck(model_path))
    await lives.begin()
    for step in random.Random(seed).choices(STEPS, k=40):
        await lives.do(step)
    await lives.end()
