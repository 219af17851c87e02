"""After a change of which nobody knows whether it was stored: what the store holds becomes what is told and alive.

The lane takes the thread as it is stored, subscribers are told what they lack, runs that ended are let go of, and runs
that were stored go on. This module must never know how a store finds out, or what the change was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from livethread.codec import to_event
from livethread.errors import CommandError
from livethread.messages import Event, ThreadGone
from livethread_server.background import begin
from livethread_server.contexts import Contexts
from livethread_server.history import told_since
from livethread_server.hub import Hub
from livethread_server.lanes import Lane, Lanes
from livethread_server.listening import Listening
from livethread_server.live_run import LiveRun
from livethread_server.recovery import Recovery
from livethread_server.runs import Runs
from livethread_server.store.base import EventRecord, Record, RunRecord, Store, Unusable

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds until a store that cannot be asked is asked again: doubled each time, up to the longest."""


class Settling:
    """Sees to lanes that are doubted: at once, and if the store cannot be asked as soon as it can, though nobody else
    comes to the thread."""

    def __init__(
        self,
        *,
        store: Store,
        lanes: Lanes,
        hub: Hub,
        runs: Runs,
        recovery: Recovery,
        listening: Listening,
        contexts: Contexts,
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._hub = hub
        self._runs = runs
        self._recovery = recovery
        self._listening = listening
        self._contexts = contexts
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def begin(self, thread: str) -> None:
        """A lane is doubted from now on, and still held."""
        if self._stopped:  # the next start sees to it
            return
        task = begin(self._see_to(thread), log, "a thread could not be looked at again")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, lane: Lane, record: Record | None) -> None:
        """Have a held, doubted lane take what the store holds, tell it, and have its runs be as they are stored."""
        if record is None:
            self._gone(lane)
            return
        missed = await self._missed(lane, record)
        unfinished = await self._unfinished(record)
        lane.take(record)
        self._tell(lane, missed)
        self._let_go(lane, unfinished)
        await self._take_up(lane, unfinished)

    async def stop(self) -> None:
        """See to nothing any more."""
        self._stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, thread: str) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._lanes.hold(thread, None):
                    return
            except CommandError:  # it is gone, and that was told
                return
            except Unusable as error:
                log.warning("thread %s is looked at again in %g s: %s", thread, pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _missed(self, lane: Lane, record: Record) -> Sequence[EventRecord]:
        """What was stored and not told. Nothing where that cannot be told: subscribers find the gap, and ask for the
        whole."""
        if record.thread.epoch != lane.thread.epoch:
            return ()
        seq, last = lane.thread.seq, record.thread.seq
        return await told_since(self._store, lane.history, lane.id, seq, last) or ()

    async def _unfinished(self, record: Record) -> Sequence[RunRecord]:
        owner, thread = record.thread.owner, record.thread.id
        return [one for one in await self._store.runs(owner, thread, 1) if one.run.state != "finished"]

    def _tell(self, lane: Lane, missed: Sequence[EventRecord]) -> None:
        lane.history.add(missed)
        for one in missed:
            self._hub.publish(_event(one))

    def _let_go(self, lane: Lane, unfinished: Sequence[RunRecord]) -> None:
        alive = {one.run.id for one in unfinished}
        over = [run for run in lane.runs if run.id not in alive]
        if over:
            self._runs.ended(lane, over)
            self._runs.move_up(lane)
            self._runs.on_ended(lane)

    async def _take_up(self, lane: Lane, unfinished: Sequence[RunRecord]) -> None:
        known = {run.id for run in lane.runs}
        first: list[LiveRun] = []
        for one in unfinished:
            if one.run.id not in known:
                await self._recovery.take_up(lane, one, first)
        self._recovery.go_on(first)

    def _gone(self, lane: Lane) -> None:
        readers = frozenset({lane.thread.owner, *lane.access.shares})
        self._runs.ended(lane, lane.runs)
        self._hub.publish(ThreadGone(thread=lane.id))
        self._listening.drop(lane.id, readers)
        self._contexts.forget(lane.id)


def _event(record: EventRecord) -> Event:
    event = to_event(msgspec.json.decode(record.body))
    assert event is not None, "every version knows what it told itself"
    return event
