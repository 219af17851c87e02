"""What is put into KV before a run asks for it: eager ingestion, and threads that are warmed up.

It is done in steps in which no run has anything to do, one chunk in a step. This module must never know texts
or how tokens are drawn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from livethread_server.engine.wire import Ingest, Warm
from livethread_server.worker.cache import WORTH, Place
from livethread_server.worker.chunk import scope_of
from livethread_server.worker.llama import DecodeFailed
from livethread_server.worker.residency import Residencies, packed
from livethread_server.worker.restore import Fetch, Restores
from livethread_server.worker.sequence import Sequence

Wanted = Ingest | Warm


class _Job:
    """Something wanted, and how far it is: looked for in the archive, being read, in its sequence."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.looked = False
        self.fetch: Fetch | None = None
        self.placed = False


class Ahead:
    """Jobs by thread; warming comes before eager ingestion, and of that the newest first.

    ``budget`` is how many tokens eager ingestion may hold live beyond what runs use. ``may_give_up`` says
    which other threads' sequences it may take.
    """

    def __init__(
        self,
        residencies: Residencies,
        restores: Restores,
        *,
        budget: int,
        may_give_up: Callable[[Sequence], bool],
    ) -> None:
        self._residencies = residencies
        self._slots = residencies.slots
        self._restores = restores
        self._budget = budget
        self._may_give_up = may_give_up
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def want(self, wanted: Wanted) -> None:
        """A new word about a thread, which replaces the one before."""
        self.drop(wanted.thread)
        if isinstance(wanted, Ingest) and self._budget <= 0:
            return
        self._jobs[wanted.thread] = _Job(wanted)

    def drop(self, thread: str) -> None:
        """Somebody else says now what becomes of the thread."""
        if fetch := self.hand_over(thread):
            self._restores.give_back(fetch)

    def hand_over(self, thread: str) -> Fetch | None:
        """As `drop`, for one who can use what is being read for the thread, and gives it back."""
        job = self._jobs.pop(thread, None)
        if job is None:
            return None
        if isinstance(job.wanted, Warm):
            self._residencies.settle(job.wanted.ask, thread)
        return job.fetch

    @property
    def ready(self) -> bool:
        """Whether a job can go on now."""
        return any(job.fetch is None or job.fetch.done for job in self._jobs.values())

    def advance(self, ingest: Callable[[Sequence, tuple[int, ...]], bool], *, eager: bool) -> None:
        """Go one step on with one job; beside runs that is not an ``eager`` one. ``ingest`` puts some of the
        tokens it is given into a sequence, and says whether that went well; what did not is dropped.
        """
        job = self._next(eager)
        if job is None:
            return
        slot = self._slot(job)
        if slot is None:
            return
        left, before = self._left(job, slot), slot.in_kv
        if len(left) >= 2 and not ingest(slot, left):
            self._slots.drop(slot)
            self.drop(job.wanted.thread)
            return
        slot.eager += slot.in_kv - before
        self._slots.used(slot)
        if len(self._left(job, slot)) < 2:
            self._slots.arrived(slot)
            self.drop(job.wanted.thread)

    def _next(self, eager: bool) -> _Job | None:
        able = [
            job
            for job in self._jobs.values()
            if (job.fetch is None or job.fetch.done) and (eager or isinstance(job.wanted, Warm))
        ]
        return max(reversed(able), key=lambda job: isinstance(job.wanted, Warm), default=None)

    def _slot(self, job: _Job) -> Sequence | None:
        """The job's sequence; None where it has none yet, or none any more: then there may be no job either."""
        if not job.placed:
            return self._place(job)
        slot = self._slots.of(job.wanted.thread)
        if slot is None or not slot.idle or slot.common(job.wanted.tokens, slot.in_kv) < slot.in_kv:
            self.drop(job.wanted.thread)
            return None
        return slot

    def _place(self, job: _Job) -> Sequence | None:
        wanted = job.wanted
        chosen = self._choose(wanted)
        if chosen is None:
            self.drop(wanted.thread)
            return None
        if not job.looked:
            job.looked = True
            job.fetch = self._restores.begin(
                packed(wanted.tokens), scope_of(wanted.tenant), len(wanted.tokens), chosen.reuse + WORTH
            )
            if job.fetch:
                return None
        job.placed = True
        own = chosen.target.thread == wanted.thread
        return self._take(job, chosen, chosen.target.in_kv if own else 0)

    def _take(self, job: _Job, chosen: Place, before: int) -> Sequence | None:
        fetch, job.fetch = job.fetch, None
        state = None
        if fetch and not fetch.failed and fetch.count > chosen.reuse:
            chosen, state = Place(chosen.target, fetch.count), fetch.state
        try:
            slot = self._slots.take(job.wanted, chosen, state)
        except DecodeFailed:
            self.drop(job.wanted.thread)
            return None
        finally:
            if fetch:
                self._restores.give_back(fetch)
        slot.cut(slot.in_kv)
        slot.eager = max(0, slot.eager + slot.in_kv - before)
        self._slots.used(slot)
        return slot

    def _choose(self, wanted: Wanted) -> Place | None:
        if isinstance(wanted, Warm):
            return self._slots.choose(wanted)
        own = any(slot.idle and slot.thread == wanted.thread for slot in self._slots)
        if any(not slot.idle and slot.thread == wanted.thread for slot in self._slots):
            return None
        if not own and self._slots.room < 2:
            return None
        return self._slots.choose(wanted, self._may_give_up)

    def _left(self, job: _Job, slot: Sequence) -> tuple[int, ...]:
        left = job.wanted.tokens[slot.in_kv :]
        if isinstance(job.wanted, Ingest):
            room = self._budget - sum(each.eager for each in self._slots)
            left = left if len(left) <= room else left[: max(0, room)]
        return left
