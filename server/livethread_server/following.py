"""From what the engine says of a run to events: told in order, durable ones after they are stored.

The text of a run is stored now and then while it grows. This module must never know how runs begin, wait for one
another, or are ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ErrorBody, RunProgress
from livethread.model import Reason, TokenLogprob
from livethread_server.engine.wire import Delta, Finished, Output, Progress, Started
from livethread_server.hub import Hub
from livethread_server.lanes import Lanes
from livethread_server.live_run import LiveRun, Outputs
from livethread_server.logprobs import portions
from livethread_server.store.base import Store, Unusable

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""How much generating may be lost, should the server be killed."""

End = Callable[[LiveRun, Reason, Finished | None, ErrorBody | None], Coroutine[Any, Any, None]]
ToldLogprobs = Callable[[Delta], tuple[TokenLogprob, ...]]


class FollowedEngine(Protocol):
    """What following needs of an engine."""

    @property
    def trouble(self) -> CommandError | None:
        """Why nothing can be generated now; None when it can."""


class Following:
    """Follows runs, each until it is over. ``end`` is how a run ends, ``logprobs`` tells those of a delta."""

    def __init__(
        self,
        store: Store,
        lanes: Lanes,
        hub: Hub,
        engine: FollowedEngine,
        instance: str,
        end: End,
        logprobs: ToldLogprobs,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._hub = hub
        self._engine = engine
        self._instance = instance
        self._end = end
        self._logprobs = logprobs

    async def follow(self, run: LiveRun, outputs: Outputs) -> None:
        """Tell what the engine says, until the run is over. Whatever breaks ends the run, and is raised."""
        try:
            async for output in outputs:
                await run.gate.wait()
                if run.over:
                    return
                await self._tell(run, output)
        except Exception:
            if run.over:  # its thread was deleted in the meantime
                return
            # Whatever broke, the run must not stay open for ever; the cause goes up to the log.
            await self._end(run, "error", None, our_fault())
            raise

    async def _tell(self, run: LiveRun, output: Output) -> None:
        if output.started is not None:
            await self._tell_start(run, output.started)
            if run.over:
                return
        if output.progress is not None:
            self._hub.publish(_progress(run, output.progress))
        if output.delta is not None:
            self._tell_delta(run, output.delta)
        if output.finished is not None:
            await self._end(run, output.finished.reason, output.finished, self._error(output.finished))
        elif time.monotonic() - run.flushed_at > FLUSH_SECONDS:
            await self._flush(run)

    def _tell_delta(self, run: LiveRun, delta: Delta) -> None:
        if not run.wants_logprobs:
            self._hub.publish(run.extend(delta))
            return
        for part in portions(delta):
            self._hub.publish(run.extend(part, self._logprobs(part)))

    async def _tell_start(self, run: LiveRun, started: Started) -> None:
        async with self._lanes.hold(run.record.run.thread, None) as lane:
            if run.over:
                return
            transaction = lane.begin()
            run.start(transaction, started, self._instance)
            await self._lanes.commit(lane, transaction)
            for event in transaction.events:
                self._hub.publish(event)

    async def _flush(self, run: LiveRun) -> None:
        run.flushed_at = time.monotonic()
        try:
            await self._store.flush(run.id, run.text, tuple(run.tokens))
        except Unusable as error:
            # Nothing was promised yet of this text: the next flush has it too, and the end must be stored anyway.
            log.warning("the text of run %s could not be stored; the next flush tries again: %s", run.id, error)

    def _error(self, finished: Finished) -> ErrorBody | None:
        if finished.error is None:
            return None
        trouble = self._engine.trouble
        code = finished.code or (ErrorCode.INTERNAL if trouble is None else ErrorCode.MODEL_UNAVAILABLE)
        return ErrorBody(code, finished.error, code.retryable)


def our_fault() -> ErrorBody:
    """The error of a run that ended because something here broke."""
    sentence = "The server failed while it followed the run. Its log says more; generate again."
    return ErrorBody(ErrorCode.INTERNAL, sentence, False)


def _progress(run: LiveRun, part: Progress) -> RunProgress:
    return RunProgress(
        thread=run.record.run.thread, run=run.id, cached=part.cached, processed=part.processed, total=part.total
    )
