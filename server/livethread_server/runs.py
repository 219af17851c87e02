"""The life of accepted runs: they wait, start, stream and end; exactly one end each.

Here lanes, engine and hub meet. `starting` gives runs to the engine, `following` turns what it says into events.
It must never know sockets, or how text is generated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ErrorBody
from livethread.model import Reason, Run
from livethread_server.background import begin
from livethread_server.engine.wire import Finished, Submit
from livethread_server.following import Following, our_fault
from livethread_server.hub import Hub
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun, Outputs
from livethread_server.prompt import Prompt
from livethread_server.prompter import Prompter
from livethread_server.starting import Starting
from livethread_server.store.base import RunRecord, Store
from livethread_server.transaction import Transaction

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds until an end that could not be stored is tried again: doubled each time, up to the longest."""
DISCONNECT_SECONDS = 10.0
"""How long a run with ``on_disconnect: cancel`` goes on after its asker's session ended."""


class RunEngine(Protocol):
    """What runs need of an engine."""

    @property
    def trouble(self) -> CommandError | None:
        """Why nothing can be generated now; None when it can."""

    def submit(self, submit: Submit) -> Outputs:
        """Start or queue a run; `CommandError` where it cannot be taken."""

    def cancel(self, run: str) -> None:
        """End a run, if it has not ended."""

    def pin(self, thread: str, pinned: bool) -> None:
        """Keep a thread's context at hand while anything else can go; or no longer."""

    async def wait_ready(self) -> None:
        """Return once runs can be submitted; `CommandError` when that will never be."""


def _ignore(lane: Lane) -> None:
    """Nobody asked to be told."""


class Runs:
    """All runs that have not ended. Assign ``on_ended`` to hear of the lanes in which one did by itself."""

    def __init__(
        self, store: Store, lanes: Lanes, hub: Hub, engine: RunEngine, prompter: Prompter, instance: str
    ) -> None:
        self._lanes = lanes
        self._hub = hub
        self._engine = engine
        self._prompter = prompter
        self._starting = Starting(lanes, engine, prompter, self.submit)
        self._following = Following(store, lanes, hub, engine, instance, self._end, prompter.logprobs)
        self.on_ended: Callable[[Lane], None] = _ignore
        self._live: dict[str, LiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def trouble(self) -> CommandError | None:
        """Why no run can be accepted now; None when one can. A new one at each call."""
        if self._closing:
            return CommandError(
                ErrorCode.MODEL_UNAVAILABLE, "The server is shutting down. Connect again in a moment and repeat this."
            )
        return self._engine.trouble

    def get(self, run: str) -> LiveRun | None:
        """A run that has not ended."""
        return self._live.get(run)

    def session_ended(self, session: str) -> None:
        """The asker is gone: its runs that should not outlive it end a little later."""
        for run in self._live.values():
            if run.session == session and run.cancel_with_session:
                asyncio.get_running_loop().call_later(DISCONNECT_SECONDS, self.end_soon, run, "cancelled")

    def by_state(self) -> dict[str, int]:
        """How many there are, by state."""
        states = Counter(run.state for run in self._live.values())
        return {state: states[state] for state in ("queued", "running")}

    def waiting(self) -> int:
        """How many runs wait for others to end."""
        return sum(1 for run in self._live.values() if run.position)

    def shown(self, record: RunRecord) -> Run:
        """A run as it is now; what the store has of a live one is behind."""
        run = self._live.get(record.run.id)
        return record.run if run is None else run.run()

    def publish(self, transaction: Transaction) -> None:
        """Tell the events of a stored transaction."""
        for event in transaction.events:
            self._hub.publish(event)

    # Starting

    def submit(self, lane: Lane, run: LiveRun, prompt: Prompt) -> None:
        """Give a run to the engine, with what it has generated before. `CommandError` where that takes none."""
        outputs = self._engine.submit(
            Submit(
                run=run.id,
                thread=lane.id,
                tenant=lane.thread.owner,
                tokens=prompt.tokens,
                sampling=run.engine_sampling,
                shared=prompt.shared,
                generated=tuple(run.tokens),
                said=len(run.text),
            )
        )
        if lane.thread.pinned:
            self._engine.pin(lane.id, True)  # an engine of an earlier start of the server knew it
        run.submitted(prompt, outputs)
        # What the run writes comes behind its prompt.
        starts = {run.message: len(prompt.tokens)} | prompt.starts
        lane.prompt = msgspec.structs.replace(prompt, starts=starts)

    async def withdraw(self, run: LiveRun) -> None:
        """The run was submitted, but could not be stored: the engine need not write it. Returns once the engine has let
        go of it, so that it can be given the same run again."""
        self._engine.cancel(run.id)
        if run.outputs is not None:
            async for _ in run.outputs:
                pass

    def adopt(self, lane: Lane, run: LiveRun, timeout_ms: int | None) -> None:
        """The run is stored: from now on it is alive, and its time runs."""
        lane.runs.append(run)
        self._live[run.id] = run
        self._idle.clear()
        if timeout_ms is not None:
            run.timer = asyncio.get_running_loop().call_later(timeout_ms / 1000, self.end_soon, run, "timeout")

    def follow(self, run: LiveRun) -> None:
        """Turn what the engine says of a submitted run into events, until the run ends."""
        if run.outputs is not None:
            self._spawn(self._following.follow(run, run.outputs))

    def start_soon(self, runs: Sequence[LiveRun]) -> None:
        """Start adopted runs one behind the other, without waiting for it."""
        self._spawn(self._start_in_order(runs))

    # Ending

    @contextmanager
    def held(self, runs: Sequence[LiveRun]) -> Iterator[None]:
        """Nothing is told of ``runs`` while the transaction that ends them is made and stored."""
        for run in runs:
            run.gate.clear()
        try:
            yield
        finally:
            for run in runs:
                run.gate.set()

    def finish_in(
        self,
        transaction: Transaction,
        run: LiveRun,
        reason: Reason,
        finished: Finished | None = None,
        error: ErrorBody | None = None,
    ) -> None:
        """Write the end of ``run`` into ``transaction``."""
        run.finish(transaction, reason, self._prompter.final_tokens, finished, error)

    def interrupt_in(self, transaction: Transaction, runs: Sequence[LiveRun], *, roll_back: bool) -> None:
        """Write into ``transaction`` that ``runs`` were interrupted, and take back what they put in."""
        for run in runs:
            self.finish_in(transaction, run, "interrupted")
        for run in reversed(runs):
            if roll_back:
                run.roll_back(transaction)

    def ended(self, lane: Lane, runs: Sequence[LiveRun]) -> None:
        """A stored transaction ended the runs: let go of them."""
        for run in list(runs):
            run.over = True
            if run.timer is not None:
                run.timer.cancel()
            lane.runs.remove(run)
            self._live.pop(run.id, None)
            self._engine.cancel(run.id)
        if not self._live:
            self._idle.set()

    def end_soon(self, run: LiveRun, reason: Reason, error: ErrorBody | None = None) -> None:
        """End a run without waiting for it."""
        self._spawn(self._end(run, reason, error=error))

    # The server goes away

    def close(self) -> None:
        """Accept no run any more; those there are go on."""
        self._closing = True

    async def idle(self) -> None:
        """Return when no run is left."""
        await self._idle.wait()

    async def interrupt(self) -> None:
        """End all runs as interrupted. One whose end cannot be stored is left to the next start."""
        ends = [self._try_to_end(run, "interrupted") for run in self._live.values()]
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("a run could not be ended; the next start takes it up", exc_info=outcome)

    async def stop(self) -> None:
        """End all runs as interrupted, and all that follows them."""
        await self.interrupt()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Inside

    async def _end(
        self, run: LiveRun, reason: Reason, finished: Finished | None = None, error: ErrorBody | None = None
    ) -> None:
        """End a run, if nothing else does before. An end that cannot be stored is tried again."""
        pause = FIRST_PAUSE
        while not run.over:
            try:
                await self._try_to_end(run, reason, finished, error)
            except Exception:
                if run.over:  # its thread was deleted in the meantime
                    return
                log.exception("run %s could not be ended; it is tried again in %g s", run.id, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _try_to_end(
        self, run: LiveRun, reason: Reason, finished: Finished | None = None, error: ErrorBody | None = None
    ) -> None:
        async with self._lanes.hold(run.record.run.thread, None) as lane:
            if run.over:
                return
            with self.held([run]):
                transaction = lane.begin()
                self.finish_in(transaction, run, reason, finished, error)
                await self._lanes.commit(lane, transaction)
                self.ended(lane, [run])
            self.publish(transaction)
            self.move_up(lane)
            self.on_ended(lane)

    def move_up(self, lane: Lane) -> None:
        """Runs of the lane are over: the next one starts."""
        for index, run in enumerate(lane.runs):
            waited, run.ahead = run.ahead, index
            if waited and not index:
                self._spawn(self._start(run))

    async def _start_in_order(self, runs: Sequence[LiveRun]) -> None:
        for run in runs:
            await asyncio.wait([self._spawn(self._start(run))])

    async def _start(self, run: LiveRun) -> None:
        """Start a run; what it cannot start with is its end."""
        try:
            await self._starting.start(run)
        except CommandError as error:
            await self._end(run, "error", error=ErrorBody.of(error))
        except Exception:
            await self._end(run, "error", error=our_fault())
            raise
        else:
            self.follow(run)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = begin(work, log, "following a run failed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
