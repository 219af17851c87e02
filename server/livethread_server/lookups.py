"""One run, one message: what the wire tells in events and snapshots, for those who ask for it by its id.

It must never know how either is shown.
"""

from __future__ import annotations

from livethread.errors import CommandError, ErrorCode
from livethread.model import Message, Run, Thread
from livethread_server.lanes import Lanes
from livethread_server.runs import Runs
from livethread_server.session import Session
from livethread_server.store.base import Store


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
