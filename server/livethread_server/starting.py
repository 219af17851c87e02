"""Runs that wait, for others of their thread or for the engine, are given to it when their turn comes.

It must never know where a run came from, or what becomes of it afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.messages import RunStarted
from livethread.model import Thread
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun
from livethread_server.prompt import Prompt
from livethread_server.prompter import Prompter

PASSING = (ErrorCode.MODEL_LOADING, ErrorCode.QUEUE_FULL)
"""Troubles of the engine that a run, once it was accepted, waits out."""
PAUSE = 0.1
"""Seconds until an engine in such trouble is asked again."""


class StartingEngine(Protocol):
    """What starting needs of an engine."""

    async def wait_ready(self) -> None:
        """Return once runs can be submitted; `CommandError` when that will never be."""


class Starting:
    """Gives runs to the engine through ``submit``, which raises `CommandError` where it takes none."""

    def __init__(
        self,
        lanes: Lanes,
        engine: StartingEngine,
        prompter: Prompter,
        submit: Callable[[Lane, LiveRun, Prompt], None],
    ) -> None:
        self._lanes = lanes
        self._engine = engine
        self._prompter = prompter
        self._submit = submit

    async def start(self, run: LiveRun) -> None:
        """Return when the engine has the run, or the run is over. `CommandError` where it can never start."""
        while not run.over and run.outputs is None:
            try:
                await self._engine.wait_ready()
                await self._give(run)
            except CommandError as error:
                if error.code not in PASSING:
                    raise
                await asyncio.sleep(PAUSE)

    async def _give(self, run: LiveRun) -> None:
        async with self._lanes.hold(run.record.run.thread, None) as lane:
            if run.over:
                return
            thread = _as_it_was(lane.thread, run.earlier)
            self._prompter.check_model(thread.model)
            prompt = await self._prompter.prompt(
                thread, lane.turns, run.message, go_on=run.record.run.mode == "continue"
            )
            self._submit(lane, run, prompt)


def _as_it_was(thread: Thread, earlier: RunStarted | None) -> Thread:
    """The thread with the settings that decided on the prompt when the run started, so that it gets that one again."""
    if earlier is None:
        return thread
    overflow = "drop_oldest" if earlier.dropped else "error"
    return msgspec.structs.replace(thread, model=earlier.model, overflow=overflow)
