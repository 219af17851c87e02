"""Whoever is cut off behind any frame of any history, and comes back at any time, sees what the uncut one sees."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livethread import messages as wire
from livethread.errors import CommandError
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.history import HistoryBounds
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.copies import Copy, a_copy, back
from tests.house import Guest, House, closing

STEPS = (
    *("append", "insert", "edit", "delete", "truncate", "update", "move"),
    *("reply", "regenerate", "continue", "take over", "roll back"),
    *("start", "say", "say", "say", "say", "hold back", "hold back", "finish", "cancel"),
)
"""What may happen next. ``hold back`` tells text whose token is not told yet. Most runs start at once."""

LATE = 4
"""Behind how many of the newest frames somebody is cut off and comes back at once, at every step."""

Step = tuple[str, int]
HISTORIES = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), min_size=8, max_size=30)


class Story:
    """A thread to which things happen, and an asker who makes them happen."""

    def __init__(self, house: House, asker: Guest) -> None:
        self._house = house
        self._asker = asker
        self._runs = 0
        self._streaming: str | None = None
        self._started = False

    async def happen(self, step: Step) -> None:
        """Do one step and have it told, also to a crowd; what cannot be now is refused, and changes nothing."""
        kind, number = step
        try:
            await self._do(kind, number)
        except CommandError:
            return
        finally:
            await settled()
            self._house.hub.flush("t")

    async def _do(self, kind: str, number: int) -> None:
        match kind:
            case "append" | "insert" | "edit" | "delete" | "truncate":
                await self._asker.ask(wire.Mutate, ops=[await self._op(kind, number)], if_busy=_busy(number))
            case "update":
                await self._asker.ask(wire.ThreadUpdate, title=f"title {number}" if number % 3 else None)
            case "move":
                self._house.live("t", number)
            case "reply" | "regenerate" | "continue":
                await self._generate(mode=kind, ops=[_append(number)] if number % 2 else [])
            case "take over":
                await self._generate(if_busy="interrupt")
            case "roll back":
                await self._generate(if_busy="rollback", ops=[_append(number)])
            case "cancel" if self._streaming:
                await self._asker.ask(wire.Cancel, run=self._streaming)
            case _:
                self._speak(kind, number)

    async def _generate(self, **fields: Any) -> None:
        self._runs += 1
        await self._asker.ask(wire.Generate, run=f"r{self._runs}", **fields)
        self._streaming, self._started = f"r{self._runs}", False
        if self._runs % 4:
            self._speak("start", 0)

    def _speak(self, kind: str, number: int) -> None:
        engine, run = self._house.engine, self._streaming
        if run is None or self._house.runs.get(run) is None:
            return
        if kind == "start" and not self._started:
            engine.start(run)
            self._started = True
        elif kind == "say" and self._started:
            engine.say(run, f"{number} é ", tuple(range(number % 3 + 1)))
        elif kind == "hold back" and self._started:
            engine.say(run, f"({number}", ())
        elif kind == "finish" and self._started:
            engine.finish(run)
            self._streaming = None

    async def _op(self, kind: str, number: int) -> dict[str, Any]:
        messages = (await self._asker.ask(wire.ThreadGet)).thread.messages
        if kind == "append" or not messages:
            return _append(number)
        there = messages[number % len(messages)].id
        return {
            "insert": {"op": "insert", "before": there, "message": {"role": "user", "content": str(number)}},
            "edit": {"op": "edit", "message": there, "content": f"edited {number}"},
            "delete": {"op": "delete", "message": there},
            "truncate": {"op": "truncate", "after": there},
        }[kind]


def _append(number: int) -> dict[str, Any]:
    return {"op": "append", "message": {"role": "user", "content": f"said {number}"}}


def _busy(number: int) -> str:
    return ("reject", "interrupt", "rollback")[number % 3]


async def settled() -> None:
    """Everything that was set going has been told: with a store in memory nothing waits for anything."""
    for _ in range(12):
        await asyncio.sleep(0)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(work)


async def same(others: list[Copy], uncut: Copy) -> None:
    for other in others:
        assert other.ok.recovered
        assert await other.listen() == uncut.now


async def live_through(house: House, history: list[Step]) -> None:
    story = Story(house, await house.listener(messages=[{"role": "user", "content": "Hello"}]))
    uncut = await a_copy(house)
    others: list[Copy] = []
    for step in (*history, ("say", 1), ("finish", 0)):
        await story.happen(step)
        house.hub.flush("t")  # a crowd, as they are, hears deltas a little later
        await uncut.listen()
        others += [await back(house, state) for state in uncut.states[-LATE:]]
        await same(others, uncut)
    others = [await back(house, state) for state in uncut.states]
    await same(others, uncut)
    assert (await a_copy(house)).now == uncut.now


@pytest.mark.parametrize("events", [0, 3, 128])
@settings(deadline=None, max_examples=20)
@given(history=HISTORIES)
def test_a_cut_is_not_seen(vocabulary: Vocabulary, model_path: Path, events: int, history: list[Step]) -> None:
    async def lived() -> None:
        grammars, bounds = GrammarCheck(model_path), HistoryBounds(events=events)
        house = House(MemoryStore(), vocabulary, grammars, history=bounds, lanes=0 if not events else 4)
        async for one in closing(house):
            await live_through(one, history)
        await grammars.stop()

    at_once(lived())
