"""Threads in use: each has a lane with its lock, its loaded turns and its unfinished runs.

What changes a thread goes through its lane, one at a time, in the order asked. Lanes are a bounded cache
over the store; they must never know what the changes are about.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal, Thread
from livethread_server.history import USUAL, History, HistoryBounds
from livethread_server.live_run import LiveRun
from livethread_server.prompt import Prompt
from livethread_server.roles import forbidden, role_of, suffices
from livethread_server.store.base import Access, Missing, Record, Role, Stale, Store, Turn, Unsettled
from livethread_server.transaction import Transaction

log = logging.getLogger(__name__)


class Lane:
    """One thread in use. ``thread``, ``turns`` and ``access`` are what the store holds, once ``loaded``.

    ``runs`` are the unfinished ones in the order of acceptance; the first is the one that may stream.
    ``prompt`` is the last prompt given to the engine: where each message's tokens lie in the live context.
    ``history`` holds the newest durable events of the stream. Where it is ``doubted``, the store may hold what nobody
    was told.
    """

    thread: Thread
    turns: tuple[Turn, ...]

    def __init__(self, thread: str, history: HistoryBounds = USUAL) -> None:
        self.id = thread
        self.access = Access()
        self.loaded = False
        self.doubted = False
        self.lock = asyncio.Lock()
        self.users = 0
        self.runs: list[LiveRun] = []
        self.prompt: Prompt | None = None
        self.history = History(history)

    @property
    def spare(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.users or self.runs or self.doubted)

    def take(self, record: Record) -> None:
        """What the store holds."""
        self.thread, self.turns, self.access, self.loaded = record.thread, record.turns, record.access, True

    def doubt(self) -> None:
        """What the store holds must be seen before anything else is done with the thread."""
        self.loaded, self.doubted = False, True

    def begin(self) -> Transaction:
        """A transaction on the thread as it is."""
        return Transaction(self.thread, self.turns)

    def role(self, principal: str) -> Role | None:
        """What a principal may do with the thread, as far as it is loaded."""
        return role_of(self.thread, self.access, principal) if self.loaded else None

    def check(self, principal: str, need: Role) -> None:
        """`CommandError`: ``not_found`` for who may not see the thread, ``forbidden`` for who may not do this."""
        role = self.role(principal)
        if role is None:
            raise not_found(self.id)
        if not suffices(role, need):
            raise forbidden(self.id, role, need)

    def unfinished(self) -> int:
        """How many turns stand up to and including the last unfinished message; 0 where there is none."""
        writing = {run.message for run in self.runs}
        for index in range(len(self.turns) - 1, -1, -1):
            if self.turns[index].message.id in writing:
                return index + 1
        return 0


class Doubts(Protocol):
    """Who sees to lanes that are doubted."""

    def begin(self, thread: str) -> None:
        """A lane is doubted from now on, and still held."""

    async def settle(self, lane: Lane, record: Record | None) -> None:
        """Have a held, doubted lane take what the store holds; None where that is nothing any more."""


class _Believed:
    """Takes what the store holds; nobody need be told."""

    def begin(self, thread: str) -> None:
        """Whoever comes next settles it."""

    async def settle(self, lane: Lane, record: Record | None) -> None:
        if record is not None:
            lane.take(record)


class Lanes:
    """Every lane there is: loaded on first use, forgotten when long unused, never while in use. Assign ``doubts`` to
    see to those that are doubted."""

    def __init__(self, store: Store, capacity: int, history: HistoryBounds = USUAL) -> None:
        self._store = store
        self._capacity = capacity
        self._history = history
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self.doubts: Doubts = _Believed()

    @asynccontextmanager
    async def hold(self, thread: str, principal: Principal | None, need: Role = "viewer") -> AsyncIterator[Lane]:
        """Be the only one to change a thread. `CommandError`: ``not_found`` where there is none that ``principal`` may
        see, ``forbidden`` where his role is less than ``need``. None is the server itself."""
        # Strangers are turned away before they could wait for the lane, so that they cannot tell by the time.
        if principal is not None and await self.role(thread, principal) is None:
            raise not_found(thread)
        lane = self._enter(thread)
        try:
            async with lane.lock:
                await self._load(lane)
                if principal is not None:
                    lane.check(principal.id, need)
                yield lane
        finally:
            self._leave(lane)

    async def role(self, thread: str, principal: Principal) -> Role | None:
        """What a principal may do with a thread, asked without holding it. None where that is nothing and where there
        is no such thread: the answer comes in the same way."""
        lane = self._lanes.get(thread)
        known = None if lane is None else lane.role(principal.id)
        return known or await self._store.role(thread, principal.id)

    async def readers(self, thread: Thread) -> frozenset[str]:
        """The ids of all principals that may read a thread, asked without holding it."""
        lane = self._lanes.get(thread.id)
        access = lane.access if lane is not None and lane.loaded else await self._store.access(thread.id)
        return frozenset({thread.owner, *access.shares})

    def peek(self, thread: str) -> Lane | None:
        """The lane of a thread where there is one, not held: what it says may be changed at any moment."""
        return self._lanes.get(thread)

    async def commit(self, lane: Lane, transaction: Transaction) -> None:
        """Store a transaction of a held lane and make it what the lane holds."""
        await self._store_change(lane, self._commit(lane, transaction))

    async def share(self, lane: Lane, access: Access) -> None:
        """Store who may do what with the thread of a held lane, and make it what the lane holds."""
        await self._store_change(lane, self._share(lane, access))

    async def delete(self, lane: Lane) -> None:
        """Remove the thread of a held lane from the store."""
        await self._store_change(lane, self._store.delete(lane.id, lane.thread.version, lane.thread.seq))
        lane.loaded, lane.prompt = False, None

    async def _store_change(self, lane: Lane, work: Coroutine[Any, Any, None]) -> None:
        # A command that is given up in the middle must not leave the lane behind the store.
        await asyncio.shield(self._stored(lane, work))

    async def _stored(self, lane: Lane, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Missing:
            self._doubt(lane)
            raise not_found(lane.id) from None
        except Unsettled as error:
            self._doubt(lane)
            log.error("thread %s is looked at again: %s", lane.id, error)
            raise unsettled(lane.id) from None
        except Stale:
            self._doubt(lane)
            raise CommandError(
                ErrorCode.VERSION_CONFLICT,
                f"Thread {lane.id!r} was changed at the same moment. Repeat the command.",
            ) from None

    def _doubt(self, lane: Lane) -> None:
        lane.doubt()
        self.doubts.begin(lane.id)

    async def _commit(self, lane: Lane, transaction: Transaction) -> None:
        change = transaction.change()
        await self._store.commit(change)
        lane.history.add(change.events)
        lane.thread, lane.turns = transaction.thread, transaction.turns

    async def _share(self, lane: Lane, access: Access) -> None:
        await self._store.share(lane.id, access)
        lane.access = access

    async def _load(self, lane: Lane) -> None:
        if lane.loaded:
            return
        record = await self._record(lane.id)
        if lane.doubted:
            await self._settle(lane, record)
        elif record is not None:
            lane.take(record)
        if record is None:
            raise not_found(lane.id)

    async def _record(self, thread: str) -> Record | None:
        try:
            return await self._store.load(thread)
        except Missing:
            return None

    async def _settle(self, lane: Lane, record: Record | None) -> None:
        try:
            await self.doubts.settle(lane, record)
        except BaseException:
            lane.doubt()
            raise
        lane.doubted = False

    def _enter(self, thread: str) -> Lane:
        lane = self._lanes.get(thread)
        if lane is None:
            lane = self._lanes[thread] = Lane(thread, self._history)
        self._lanes.move_to_end(thread)
        lane.users += 1
        return lane

    def _leave(self, lane: Lane) -> None:
        lane.users -= 1
        if not lane.loaded and lane.spare:
            self._lanes.pop(lane.id, None)
        spare = len(self._lanes) - self._capacity
        if spare > 0:
            unused = (one for one in self._lanes.values() if one.spare)
            for old in [one for one, _ in zip(unused, range(spare), strict=False)]:
                del self._lanes[old.id]


def unsettled(thread: str) -> CommandError:
    """The answer where nobody knows whether what a command changes was stored."""
    return CommandError(
        ErrorCode.INTERNAL,
        f"The database was lost while a change of thread {thread!r} was stored, and nobody knows whether it was. "
        "Look at the thread before you repeat the command.",
        thread=thread,
    )


def not_found(thread: str) -> CommandError:
    """The same answer for a thread that is not there and one that may not be seen."""
    return CommandError(
        ErrorCode.NOT_FOUND,
        f"There is no thread {thread!r}. Create it, or list the threads to see which there are.",
        field="thread",
        thread=thread,
    )
