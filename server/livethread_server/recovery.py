"""What a server that died left behind: at the next start its runs go on, or end with the text that was stored.

Nothing here waits for the model: runs that go on wait for it like all others. This module must never know sockets,
or how runs are followed.
"""

from __future__ import annotations

import logging

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ErrorBody, Generate
from livethread.model import Thread
from livethread_server.lanes import Lanes
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
        """End what was left as interrupted, with the text that was stored."""
        for record in await self._store.unfinished():
            run = LiveRun.recovered(record, NO_SESSION)
            async with self._lanes.hold(record.run.thread, None) as lane:
                transaction = lane.begin()
                self._runs.finish_in(transaction, run, "interrupted")
                await self._lanes.commit(lane, transaction)

    async def resume(self) -> None:
        """Let what was left go on, in the order of acceptance, so that each thread's runs stand in line as they did."""
        runs = [await self._take_up(record) for record in await self._store.unfinished()]
        if runs:
            log.info("%d runs were under way when the server died; they go on once the model is loaded", len(runs))
        self._runs.start_soon([run for run in runs if run is not None and not run.ahead])
        self._runs.session_ended(NO_SESSION)

    async def _take_up(self, record: RunRecord) -> LiveRun | None:
        """The run, alive again; None where it can only end."""
        run = LiveRun.recovered(record, NO_SESSION)
        async with self._lanes.hold(record.run.thread, None) as lane:
            run.ahead = len(lane.runs)
            try:
                request = _request(record)
                await self._decide_sampling(run, lane.thread, request)
            except CommandError as error:
                self._runs.adopt(lane, run, None)
                self._runs.end_soon(run, "error", ErrorBody.of(error))
                return None
            run.cancel_with_session = request.on_disconnect == "cancel"
            self._runs.adopt(lane, run, _left(record, request.timeout_ms))
        return run

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
        raise CommandError(
            ErrorCode.INTERNAL,
            f"What was stored of the run's generate cannot be read by this version: {error}. Generate again.",
        ) from None


def _left(record: RunRecord, timeout_ms: int | None) -> int | None:
    """Milliseconds of a run's time that are left: it went on while no server was there."""
    if timeout_ms is None:
        return None
    return max(0, timeout_ms - round(seconds_since(record.accepted_at) * 1000))
