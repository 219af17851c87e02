"""The engine as the server sees it: runs go in, their outputs come out, whatever happens to the process.

Every run that was accepted ends with exactly one ``finished``. This module must never know threads'
messages, prompts, stores or clients.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from livethread.errors import CommandError
from livethread.model import Residency
from livethread_server.engine.admission import Admission, Room
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.questions import Questions
from livethread_server.engine.supervisor import Supervisor
from livethread_server.engine.wire import (
    AskStats,
    CancelRun,
    Configure,
    Evict,
    Forget,
    Ingest,
    Moved,
    Pin,
    Ready,
    Settled,
    Stats,
    Step,
    Submit,
    Up,
    Warm,
)


def _ignore(moved: Moved) -> None:
    """Nobody asked to be told."""


class Engine:
    """One model in a process of its own. All methods belong to one event loop.

    Assign ``on_moved`` to hear where threads' KV is; it is called in the event loop, and says ``cold`` for
    every thread whose KV was lost with a process.
    """

    def __init__(self, configure: Configure, *, queued_runs: int) -> None:
        self.on_moved: Callable[[Moved], None] = _ignore
        self._supervisor = Supervisor(configure, heard=self._heard, died=self._died)
        self._admission = Admission(queued_runs)
        self._runs: dict[str, RunOutputs] = {}
        self._questions = Questions()
        self._held: set[str] = set()
        self._pinned: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and return; `wait_ready` waits until the model is loaded."""
        self._task = asyncio.create_task(self._supervisor.run(), name="engine")

    async def stop(self) -> None:
        """End the process and every run that is left. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for run in list(self._runs):
            self._end(run, "The server stopped before the run was over. Ask again once it is back.")
        self._questions.close()

    @property
    def trouble(self) -> CommandError | None:
        """Why no run can be submitted now: ``model_loading`` or ``model_unavailable``; None when ready."""
        return self._supervisor.trouble

    @property
    def ready(self) -> Ready | None:
        """What the process said when it was ready; None while it is not."""
        return self._supervisor.ready

    @property
    def restarts(self) -> int:
        """How often the process was started again after it had died."""
        return self._supervisor.restarts

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._supervisor.pid

    async def wait_ready(self) -> None:
        """Return when the model is ready. Raises `CommandError` ``model_unavailable`` when it will not be."""
        await self._supervisor.settled()
        if trouble := self.trouble:
            raise trouble

    def submit(self, submit: Submit) -> RunOutputs:
        """Queue a run. Raises `CommandError`: `trouble`, or ``queue_full``."""
        if trouble := self.trouble:
            raise trouble
        self._admission.offer(submit)
        outputs = self._runs[submit.run] = RunOutputs(submit.run)
        self._pump()
        return outputs

    def cancel(self, run: str) -> None:
        """End a run: at once where it waits, within one step where it runs. An unknown one is over already."""
        if self._admission.withdraw(run):
            self._runs.pop(run).end("cancelled")
            self._pump()
        elif run in self._runs:
            self._supervisor.send(CancelRun(run))

    def forget(self, thread: str) -> None:
        """The thread is gone: its KV is dropped wherever it is."""
        self._pinned.discard(thread)
        self._supervisor.send(Forget(thread))

    def ingest(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> None:
        """Have the KV of these tokens made ready while there is nothing else to do; no promise."""
        self._supervisor.send(Ingest(thread=thread, tenant=tenant, tokens=tokens, shared=shared))

    async def warm(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> Residency:
        """Make the KV of these tokens live; where it is in the end. Raises `CommandError` `trouble`."""
        ask = self._questions.number()
        return await self._settle(Warm(ask=ask, thread=thread, tenant=tenant, tokens=tokens, shared=shared))

    async def evict(self, thread: str) -> Residency:
        """Put an idle thread's KV on disk; where it is in the end. Raises `CommandError` `trouble`."""
        return await self._settle(Evict(self._questions.number(), thread))

    def pin(self, thread: str, pinned: bool) -> None:
        """Do not give up the thread's KV while anything else can be; or do so again. Survives the process."""
        if pinned:
            self._pinned.add(thread)
        else:
            self._pinned.discard(thread)
        self._supervisor.send(Pin(thread, pinned))

    async def stats(self) -> dict[str, Any]:
        """What is where, and what it was good for. Raises `CommandError` `trouble`."""
        answer = await self._ask(AskStats(self._questions.number()))
        assert isinstance(answer, Stats)
        return answer.body

    async def _settle(self, question: Warm | Evict) -> Residency:
        answer = await self._ask(question)
        assert isinstance(answer, Settled)
        return answer.residency

    async def _ask(self, question: Warm | Evict | AskStats) -> Settled | Stats:
        if trouble := self.trouble:
            raise trouble
        self._supervisor.send(question)
        return await self._questions.answer(question.ask)

    def _pump(self) -> None:
        """Give the worker what fits, and tell those that wait where they are."""
        while submit := self._admission.next():
            self._runs[submit.run].position = 0
            self._supervisor.send(submit)
        for position, run in enumerate(self._admission.waiting):
            self._runs[run].position = position + 1

    def _heard(self, message: Up) -> None:
        match message:
            case Ready():
                self._admission.open(Room.of(message))
                for thread in self._pinned:
                    self._supervisor.send(Pin(thread, True))
                self._pump()
            case Step():
                self._hear_step(message)
            case Settled() | Stats():
                self._questions.settle(message)

    def _hear_step(self, step: Step) -> None:
        for moved in step.moved:
            self._note(moved)
        for output in step.outputs:
            if output.run in self._runs:
                self._runs[output.run].put(output)
            if output.finished:
                self._runs.pop(output.run, None)
                self._admission.release(output.run)
        self._pump()

    def _note(self, moved: Moved) -> None:
        if moved.residency == "cold":
            self._held.discard(moved.thread)
        else:
            self._held.add(moved.thread)
        self.on_moved(moved)

    def _died(self, sentence: str) -> None:
        """The process is gone: its runs are over, its threads cold until the next one has found
        their KV; what waits goes on waiting."""
        self._admission.close()
        self._questions.close()
        waiting = set(self._admission.waiting)
        for run in [run for run in self._runs if run not in waiting]:
            self._end(run, f"{sentence} Generate again.")
        for thread in list(self._held):
            self._note(Moved(thread, "cold", 0))

    def _end(self, run: str, sentence: str) -> None:
        self._runs.pop(run).end("error", sentence)
