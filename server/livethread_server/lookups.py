"""One run, one message: what the wire tells in events and snapshots, for those who ask for it by its id.

It must never know how either is shown.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.model import Message, Run, Thread
from livethread_server.lanes import Lanes
from livethread_server.runs import Runs
from livethread_server.session import Session
from livethread_server.store.base import Store

EVENTS_AT_ONCE = 32
"""How many stored events are looked at together; each may hold a whole message."""


class _Head(Struct, frozen=True):
    """What must be known of an event to find it."""

    type: str
    seq: int
    run: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


class Lookups:
    """Finds what a principal may read."""

    def __init__(self, store: Store, lanes: Lanes, runs: Runs) -> None:
        self._store = store
        self._lanes = lanes
        self._runs = runs

    async def run(self, session: Session, run: str) -> Run:
        """A run as it is now. `CommandError` ``not_found``, also where it may not be seen."""
        record = await self._store.run(run)
        # Asked for an unknown run too, so that one that may not be seen is answered as fast.
        role = await self._lanes.role("" if record is None else record.run.thread, session.principal)
        if record is None or role is None:
            raise unknown_run(run)
        return self._runs.shown(record)

    async def end(self, run: str) -> bytes | None:
        """The ``run.finished`` of a run as it was told, in JSON, for who may read its thread; None where it is not kept
        any more, or has not been yet."""
        record = await self._store.run(run)
        if record is None:
            return None
        after = 0 if record.started is None else _HEAD.decode(record.started).seq
        while events := await self._store.events(record.run.thread, after, EVENTS_AT_ONCE):
            for event in events:
                head = _HEAD.decode(event.body)
                if (head.type, head.run) == ("run.finished", run):
                    return event.body
            after = events[-1].seq
        return None

    async def message(self, session: Session, thread: str, message: str) -> tuple[Message | None, Thread]:
        """A message of a thread as it is now, None where it has no such one, and the thread without messages.
        `CommandError` ``not_found`` where there is no such thread."""
        async with self._lanes.hold(thread, session.principal) as lane:
            found = (turn.message for turn in reversed(lane.turns) if turn.message.id == message)
            return next(found, None), lane.thread


def unknown_run(run: str) -> CommandError:
    """The same answer for a run that is not there and one that may not be seen."""
    return CommandError(
        ErrorCode.NOT_FOUND, f"There is no run {run!r}. Use the id that generate answered.", field="run", run=run
    )
