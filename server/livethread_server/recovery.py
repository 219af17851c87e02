"""What a server that died left behind: at the next start its runs go on, or end with the text that was stored.

Nothing here waits for the model: runs that go on wait for it like all others. This module must never know sockets,
or how runs are followed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ErrorBody, Generate
from livethread.model import Thread
from livethread_server.lanes import Lane, Lanes
from livethread_server.live_run import LiveRun
from livethread_server.prompter import Prompter
from livethread_server.runs import Runs
from livethread_server.stamps import seconds_since
from livethread_server.store.base import RunRecord, Store

log = logging.getLogger(__name__)

NO_SESSION = ""
"""The session of runs whose asker's session ended with the server that it was on."""


class Recovery:
    """Takes up the runs that have no end, once, before anybody is served."""

    def __init__(self, store: Store, lanes: Lanes, runs: Runs, prompter: Prompter) -> None:
        self._store = store
        self._lanes = lanes
        self._runs = runs
        self._prompter = prompter

    async def keep(self) -> None:
        """End what was left as interrupted, or with an error where its start cannot be read, with the text that was
        stored."""
        for record in await self._store.unfinished():
            run = LiveRun.recovered(record, NO_SESSION)
            trouble = _trouble(run)
            async with self._lanes.hold(record.run.thread, None) as lane:
                transaction = lane.begin()
                self._runs.finish_in(transaction, run, "error" if trouble else "interrupted", error=trouble)
                await self._lanes.commit(lane, transaction)

    async def resume(self) -> None:
        """Let what was left go on, in the order of acceptance, so that each thread's runs stand in line as they did."""
        first: list[LiveRun] = []
        count = 0
        for record in await self._store.unfinished():
            async with self._lanes.hold(record.run.thread, None) as lane:
                count += await self.take_up(lane, record, first)
        if count:
            log.info("%d runs were under way when the server died; they go on once the model is loaded", count)
        self.go_on(first)

    async def take_up(self, lane: Lane, record: RunRecord, first: list[LiveRun]) -> bool:
        """Have a run of a held lane alive again; False where it can only end. Those with nothing in front of them go
        to ``first``: the others are started by the ends of the runs that they stand behind, which may come at any
        moment from now on."""
        run = LiveRun.recovered(record, NO_SESSION)
        run.ahead = len(lane.runs)
        try:
            request = _request(record)
            _remember_start(run)
            await self._decide_sampling(run, lane.thread, request)
        except CommandError as error:
            self._runs.adopt(lane, run, None)
            self._runs.end_soon(run, "error", ErrorBody.of(error))
            return False
        run.cancel_with_session = request.on_disconnect == "cancel"
        self._runs.adopt(lane, run, _left(record, request.timeout_ms))
        if not run.ahead:
            first.append(run)
        return True

    def go_on(self, first: Sequence[LiveRun]) -> None:
        """Start those with nothing in front of them, of all that were taken up."""
        self._runs.start_soon(first)
        self._runs.session_ended(NO_SESSION)

    async def _decide_sampling(self, run: LiveRun, thread: Thread, request: Generate) -> None:
        """What was told when it started holds on; where nothing was told yet, it is decided now."""
        if run.earlier is None:
            run.told_sampling, run.engine_sampling = await self._prompter.sampling(thread, request.sampling)
        else:
            run.told_sampling = run.earlier.sampling
            run.engine_sampling = await self._prompter.proved(run.told_sampling)


def _request(record: RunRecord) -> Generate:
    try:
        return msgspec.json.decode(record.request, type=Generate)
    except msgspec.MsgspecError as error:
        raise _unreadable("generate", error) from None


def _remember_start(run: LiveRun) -> None:
    """What was told when it started holds on."""
    try:
        run.remember_start()
    except msgspec.MsgspecError as error:
        raise _unreadable("start", error) from None


def _trouble(run: LiveRun) -> ErrorBody | None:
    """Why a run that only ends cannot even end as it should; None where it can."""
    try:
        _remember_start(run)
    except CommandError as error:
        return ErrorBody.of(error)
    return None


def _unreadable(what: str, error: msgspec.MsgspecError) -> CommandError:
    return CommandError(
        ErrorCode.INTERNAL,
        f"What was stored of the run's {what} cannot be read by this version: {error}. Generate again.",
    )


def _left(record: RunRecord, timeout_ms: int | None) -> int | None:
    """Milliseconds of a run's time that are left: it went on while no server was there."""
    if timeout_ms is None:
        return None
    return max(0, timeout_ms - round(seconds_since(record.accepted_at) * 1000))
