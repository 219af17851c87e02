"""The newest durable events of a thread, at hand for those who come back.

Bounded in number and bytes; what it no longer has the store may have. It must never know what events mean, or who
comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from livethread_server.store.base import EVENTS_KEPT, EventRecord, Store


class HistoryBounds(Struct, frozen=True):
    """How much of each thread's stream is kept in memory: ``events`` of at most ``bytes`` of JSON together."""

    events: int = 128
    bytes: int = 64 << 10


USUAL = HistoryBounds()


class History:
    """The newest events of one thread, without a gap."""

    def __init__(self, bounds: HistoryBounds) -> None:
        self._bounds = bounds
        self._records: deque[EventRecord] = deque()
        self._bytes = 0

    def add(self, records: Sequence[EventRecord]) -> None:
        """The thread's next events. What they do not follow is forgotten: it is of another life of the thread."""
        for record in records:
            if self._records and record.seq != self._records[-1].seq + 1:
                self._records.clear()
                self._bytes = 0
            self._records.append(record)
            self._bytes += len(record.body)
        while len(self._records) > self._bounds.events or self._bytes > self._bounds.bytes:
            self._bytes -= len(self._records.popleft().body)

    def after(self, seq: int, last: int) -> tuple[EventRecord, ...] | None:
        """The events above ``seq`` up to ``last``, the thread's newest; None where not all of them are here."""
        count = last - seq
        if count and (len(self._records) < count or self._records[-1].seq != last):
            return None
        return tuple(islice(self._records, len(self._records) - count, None)) if count else ()


async def told_since(
    store: Store, history: History, thread: str, seq: int, last: int
) -> tuple[EventRecord, ...] | None:
    """The events of a held thread above ``seq`` up to ``last``, its newest; None where one of them is not kept
    any more, or ``seq`` has not been yet."""
    if not 0 <= last - seq <= EVENTS_KEPT:
        return None
    records = history.after(seq, last)
    if records is None:
        records = tuple(await store.events(thread, seq, EVENTS_KEPT))
        if [record.seq for record in records] != list(range(seq + 1, last + 1)):
            return None
    return records
