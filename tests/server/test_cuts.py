"""Whoever is cut off behind any frame of any history, and comes back at any time, sees what the uncut one sees."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.history import HistoryBounds
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.copies import Copy, a_copy, back
from tests.house import Guest, House, closing, crash

STEPS = (
    *("append", "insert", "edit", "delete", "truncate", "update", "move"),
    *("reply", "regenerate", "continue", "take over", "roll back"),
    *("start", "say", "say", "say", "say", "hold back", "hold back", "store", "finish", "cancel"),
)
"""What may happen next. ``hold back`` tells text whose token is not told yet, ``store`` stores what a run has said so
far. Most runs start at once."""

LATE = 4
"""Behind how many of the newest frames somebody is cut off and comes back at once, at every step."""

Step = tuple[str, int]
ANY_STEP = st.tuples(st.sampled_from(STEPS), st.integers(0, 30))
HISTORIES = st.lists(ANY_STEP, min_size=8, max_size=30)


class Story:
    """A thread to which things happen, and an asker who makes them happen."""

    def __init__(self, house: House, asker: Guest) -> None:
        self._house = house
        self._asker = asker
        self._runs = 0
        self._streaming: str | None = None
        self._started = False

    async def moved_to(self, house: House) -> None:
        """The server died, and is this one now: the run goes on as soon as its engine has it."""
        self._house, self._asker, self._started = house, house.guest(), False
        if self._streaming is not None and house.runs.get(self._streaming) is not None:
            await house.engine.taken(self._streaming)

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
            case "store" if self._streaming and (run := self._house.runs.get(self._streaming)):
                await self._house.store.flush(run.id, run.text, tuple(run.tokens))
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


class LastingStore(MemoryStore):
    """A store that a server's death does not empty."""

    async def close(self) -> None:
        """Keep everything."""


async def die_and_go_on(houses: Iterator[House], history: list[Step], later: list[Step]) -> None:
    house = next(houses)
    story = Story(house, await house.listener(messages=[{"role": "user", "content": "Hello"}]))
    uncut = await a_copy(house)
    for step in history:
        await story.happen(step)
        await uncut.listen()
    await crash(house)
    house = next(houses)
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again in a moment.")
    await house.recovery.resume()
    fresh = await a_copy(house)
    others = [await back(house, state) for state in uncut.states]
    await same(others, fresh)
    house.engine.trouble = None
    await story.moved_to(house)
    for step in (("start", 0), ("say", 1), *later):
        await story.happen(step)
        await fresh.listen()
        others += [await back(house, state) for state in (uncut.now, *fresh.states[-LATE:])]
        await same(others, fresh)
    await crash(house)


@settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(history=HISTORIES, later=st.lists(ANY_STEP, max_size=6))
def test_a_cut_is_not_seen_when_the_server_died_meanwhile(
    vocabulary: Vocabulary, model_path: Path, history: list[Step], later: list[Step]
) -> None:
    async def lived() -> None:
        grammars, store = GrammarCheck(model_path), LastingStore()
        await die_and_go_on((House(store, vocabulary, grammars) for _ in range(2)), history, later)
        await grammars.stop()

    at_once(lived())
