"""The engine as the server sees it: runs go in, their outputs come out, whatever happens to the process.

Every run that was accepted ends with exactly one ``finished``. Where the process dies, the next one goes on with
its runs where they were. This module must never know threads' messages, prompts, stores or clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from livethread.errors import CommandError, ErrorCode
from livethread.model import Reason, Residency
from livethread_server.engine.admission import Admission, Room
from livethread_server.engine.embedding import Embeddings, Rows
from livethread_server.engine.ongoing import Ongoing
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.questions import Questions
from livethread_server.engine.supervisor import COMMAND, Supervisor
from livethread_server.engine.wire import (
    AskStats,
    CancelRun,
    Configure,
    Embedded,
    EmbedEnded,
    Evict,
    Forget,
    Ingest,
    Moved,
    Output,
    Pin,
    Pooling,
    Ready,
    Settled,
    Stats,
    Step,
    Submit,
    Up,
    Warm,
)

_log = logging.getLogger(__name__)


def _ignore(moved: Moved) -> None:
    """Nobody asked to be told."""


class Engine:
    """One model in a process of its own. All methods belong to one event loop.

    Assign ``on_moved`` to hear where threads' KV is; it is called in the event loop, and says ``cold`` for
    every thread whose KV was lost with a process. A process that owes an answer and says nothing for ``watchdog``
    seconds is ended. ``command`` is what to start.
    """

    def __init__(
        self,
        configure: Configure,
        *,
        queued_runs: int,
        queued_tasks: int = 256,
        queued_vectors: int = 8192,
        watchdog: float = 60.0,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self.on_moved: Callable[[Moved], None] = _ignore
        self._model = Path(configure.model_path).stem
        self._supervisor = Supervisor(
            configure,
            heard=self._heard,
            died=self._died,
            gave_up=self._gave_up,
            owes=self._owes,
            watchdog=watchdog,
            command=command,
        )
        self._admission = Admission(queued_runs, queued_tasks)
        self._runs: dict[str, Ongoing] = {}
        self._questions = Questions()
        self._embeddings = Embeddings(self._supervisor.send, queued_vectors, self._admission)
        self._embeddings.on_room = self._pump
        self._held: set[str] = set()
        self._pinned: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and return; `wait_ready` waits until the model is loaded."""
        self._task = asyncio.create_task(self._supervisor.run(), name="engine")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the process and every run that is left. Safe to call twice."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            sentence = "The server stopped before the run was over. Ask again once it is back."
            self._end_all(sentence, ErrorCode.MODEL_UNAVAILABLE)
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
        """Queue a run. Raises `CommandError`: `trouble`, ``queue_full``, or ``unsupported``."""
        if trouble := self.trouble:
            raise trouble
        if self.ready and not self.ready.generates:
            raise CommandError(
                ErrorCode.UNSUPPORTED,
                f"The model {self._model} turns texts into vectors and cannot generate. Serve one that can.",
            )
        if submit.side and self.ready and not self.ready.task_sequences:
            raise CommandError(
                ErrorCode.UNSUPPORTED,
                "Tasks that generate are switched off here. Start the server with --task-sequences 1 or more.",
            )
        self._admission.offer(submit)
        run = self._runs[submit.run] = Ongoing(submit)
        self._pump()
        return run.outputs

    def check_task(self, runs: int) -> None:
        """`CommandError` ``too_large`` where one task can never have so many ``runs`` at once."""
        most = self._admission.most_of_a_task
        if self.ready and runs > most:
            raise CommandError(
                ErrorCode.TOO_LARGE,
                f"This takes {runs} runs at once, and there is never room for more than {most}. Ask for fewer choices "
                "or labels, or start the server with more --queued-tasks.",
                limit=most,
                runs=runs,
            )

    def cancel(self, run: str) -> None:
        """End a run: at once where it waits or the process is down, within one step where it runs. An unknown one
        is over already.
        """
        ongoing = self._runs.get(run)
        if ongoing is None:
            return
        if self._admission.withdraw(run) or self.ready is None:
            self._end(run, "cancelled")
            self._pump()
        else:
            ongoing.cancelled = True
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

    def embed(
        self, texts: Sequence[tuple[int, ...]], pooling: Pooling, tenant: str
    ) -> AsyncGenerator[tuple[int, Rows], None]:
        """Each text's place and its rows, as `Embeddings.vectors` says. Raises `CommandError` `trouble` at once."""
        if trouble := self.trouble:
            raise trouble
        assert self.ready is not None
        return self._embeddings.vectors(texts, pooling, self.ready, tenant)

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

    def _owes(self) -> bool:
        """Whether the process has something to say."""
        return self._admission.given or self._questions.pending or self._embeddings.pending

    def _pump(self) -> None:
        """Give the worker what fits, and tell those that wait where they are."""
        while self.ready and (submit := self._next()):
            self._runs[submit.run].wait(0)
            self._supervisor.send(submit)
        self._embeddings.pump()
        for position, run in self._admission.positions():
            self._runs[run].wait(position)

    def _next(self) -> Submit | None:
        return self._admission.next(vectors=self._embeddings.pending, held=self._embeddings.isolating)

    # What the process says

    def _heard(self, message: Up) -> None:
        match message:
            case Ready():
                self._admission.open(Room.of(message))
                for thread in self._pinned:
                    self._supervisor.send(Pin(thread, True))
                self._embeddings.opened()
                self._pump()
            case Step():
                self._hear_step(message)
            case Settled() | Stats():
                self._questions.settle(message)
            case Embedded() | EmbedEnded():
                self._embeddings.heard(message)

    def _hear_step(self, step: Step) -> None:
        for moved in step.moved:
            self._note(moved)
        for output in step.outputs:
            self._hear_output(output)
        self._pump()

    def _hear_output(self, output: Output) -> None:
        ongoing = self._runs.get(output.run)
        if ongoing is not None:
            ongoing.hear(output)
            if not ongoing.suspect:
                self._admission.trust(output.run)
        if output.finished:
            self._runs.pop(output.run, None)
            self._admission.release(output.run)

    def _note(self, moved: Moved) -> None:
        if moved.residency == "cold":
            self._held.discard(moved.thread)
        else:
            self._held.add(moved.thread)
        self.on_moved(moved)

    # What becomes of it

    def _died(self, sentence: str) -> None:
        """The process is gone. What it was doing goes on in the next one, before what waits; its threads are cold
        until that one has found their KV.
        """
        self._admission.close()
        self._questions.close()
        self._embeddings.died(sentence)
        waiting = set(self._admission.waiting)
        lost = [run for run in self._runs if run not in waiting]
        self._admission.take_back([self._runs[run].rest() for run in lost if self._outlives(run, sentence)])
        self._pump()
        for thread in list(self._held):
            self._note(Moved(thread, "cold", 0))

    def _outlives(self, run: str, sentence: str) -> bool:
        """Whether a run goes on after the process died with it; if not, it is over now."""
        ongoing = self._runs[run]
        if ongoing.cancelled:
            self._end(run, "cancelled")
            return False
        if ongoing.suspect:
            advice = "It had died with this run before, and now it had no other: ask for something else."
            self._end(run, "error", f"{sentence} {advice}", ErrorCode.INTERNAL)
            return False
        ongoing.died()
        if ongoing.suspect:
            self._admission.isolate(run)
        return True

    def _gave_up(self, trouble: CommandError) -> None:
        """There is no process, and there may be none for long: nothing goes on waiting for it."""
        self._end_all(trouble.message, trouble.code)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody keeps a process running any more. Where that is not because it was stopped, nothing waits for it."""
        if task.cancelled():
            return
        _log.critical("The engine is kept running no more; start the server again.", exc_info=task.exception())
        sentence = "The engine is kept running no more. Ask again once the server was started again."
        self._end_all(sentence, ErrorCode.MODEL_UNAVAILABLE)
        self._questions.close()

    def _end_all(self, sentence: str, code: ErrorCode) -> None:
        for run in list(self._runs):
            self._admission.withdraw(run)
            self._end(run, "error", sentence, code)
        self._embeddings.end_all(sentence, code)

    def _end(self, run: str, reason: Reason, sentence: str | None = None, code: ErrorCode | None = None) -> None:
        self._admission.release(run)
        self._runs.pop(run).outputs.end(reason, sentence, code)
