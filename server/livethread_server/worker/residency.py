"""Where threads' KV is, and when it goes somewhere else: saved early, put away when it was not used, given up.

This module must never know runs' texts, or how files look.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from livethread_server.engine.wire import Evict, Moved, Settled, is_side
from livethread_server.worker.archive import Archive
from livethread_server.worker.census import census
from livethread_server.worker.chunk import Bytes, Head, Namer, scope_of
from livethread_server.worker.llama import Context, DecodeFailed
from livethread_server.worker.rows import Malformed, Shape, parse, rows_of
from livethread_server.worker.sequence import Sequence
from livethread_server.worker.slots import Slots

SETTLE = 0.25
"""Seconds after its last use before a sequence is saved: a turn that follows at once need not wait for it."""
BUSY_SETTLE = 2.0
"""The same while runs go on, each of which would have its next token later."""
MOST_PENDING = 1 << 28
"""Bytes that may wait to be written; beyond that nothing more is saved, and what must go is lost."""
FIRST_GUESS = 0.02
"""Milliseconds that saving one token takes, before any was saved."""

_log = logging.getLogger(__name__)


class Residencies:
    """``shape`` is None where memory cannot be cut: then a whole state is kept instead of chunks."""

    def __init__(
        self,
        context: Context,
        archive: Archive,
        namer: Namer,
        shape: Shape | None,
        *,
        idle_after: float,
        clock: Callable[[], float] = time.monotonic,
        tasks: int = 0,
    ) -> None:
        self._context = context
        self._archive = archive
        self._namer = namer
        self._shape = shape
        self._idle_after = idle_after
        self._clock = clock
        self._token_ms = FIRST_GUESS
        self._told: dict[str, Moved] = {}
        self._settled: list[Settled] = []
        self._evicting: deque[Evict] = deque()
        self.slots = Slots(context, self.save, archive.pinned, clock, tasks)
        archive.spare(lambda: [slot.thread for slot in self.slots.running() if slot.thread is not None])
        self.evictions = 0

    # Saving

    @property
    def _open(self) -> bool:
        """Whether anything more can be saved now: what is written too slowly would fill the memory."""
        return not self._archive.resting and self._archive.pending < MOST_PENDING

    def save(self, slot: Sequence) -> None:
        """Hand what a thread's sequence holds, and nobody has yet, to the archive. Never raises."""
        if slot.thread is None or slot.in_kv == 0 or self._archive.empty or not self._open:
            return
        slot.saved = slot.in_kv
        before = time.monotonic()
        try:
            if self._shape is None:
                exported = self._save_whole(slot, slot.thread)
            else:
                exported = self._save_chunks(slot, slot.thread)
        except (DecodeFailed, Malformed) as error:
            _log.warning("The KV of a thread cannot be saved: %s", error)
            return
        if exported:
            ms = (time.monotonic() - before) * 1000
            self._token_ms += (ms / slot.in_kv - self._token_ms) / 2

    def _save_chunks(self, slot: Sequence, thread: str) -> bool:
        heads = self._namer.chain(packed(slot.tokens[: slot.in_kv]), scope_of(slot.tenant or ""), slot.shared)
        if self._archive.holds(thread, heads):
            return False
        missing = {head.name for head in self._archive.missing(heads)}
        self._archive.keep(thread, heads, self._export(slot, heads, missing) if missing else {})
        return bool(missing)

    def _export(self, slot: Sequence, heads: list[Head], missing: set[bytes]) -> dict[bytes, Bytes]:
        state = self._context.export(slot.id)
        parsed = parse(state)
        if parsed.shape != self._shape or parsed.count != slot.in_kv or parsed.streams != self._context.streams:
            raise Malformed(f"Sequence {slot.id} gave {parsed.count} tokens of another shape, not {slot.in_kv}.")
        rows: dict[bytes, Bytes] = {}
        at = 0
        for head in heads:
            if head.name in missing:
                rows[head.name] = rows_of(state, parsed, at, at + head.count)
            at += head.count
        return rows

    def _save_whole(self, slot: Sequence, thread: str) -> bool:
        state = self._context.export(slot.id)
        tokens = packed(slot.tokens[: slot.in_kv])
        head = self._namer.whole(tokens, scope_of(slot.tenant or ""), len(state))
        missing = bool(self._archive.missing([head]))
        self._archive.keep(thread, [head], {head.name: state.copy()} if missing else {})
        return True

    # In idle time

    def tidy(self, room_ms: float) -> None:
        """Evict, save or put away at most one sequence; unless somebody waits for that only if it fits ``room_ms``."""
        if self._evicting:
            self._evict(self._evicting.popleft())
            return
        if self._archive.empty or not self._open:
            return
        now, settle = self._clock(), SETTLE if math.isinf(room_ms) else BUSY_SETTLE
        for slot in sorted(self.slots, key=lambda slot: slot.used):
            if not slot.idle or slot.thread is None:
                continue
            fits = slot.in_kv * self._token_ms <= room_ms
            if self._stale(slot, now) and fits:
                self._put_away(slot)
                return
            if slot.dirty and now - slot.used_at >= settle and fits:
                self.save(slot)
                return

    def _stale(self, slot: Sequence, now: float) -> bool:
        return now - slot.used_at >= self._idle_after and slot.thread not in self._archive.pinned

    def _put_away(self, slot: Sequence) -> None:
        assert slot.thread is not None
        thread = slot.thread
        self.save(slot)
        if self._archive.where(thread)[1] < slot.in_kv:
            self.slots.used(slot)  # there is no room for it: it stays, and is looked at again later
            return
        self._archive.sink(thread, lambda: None)
        self.evictions += not slot.side
        self.slots.drop(slot)

    def patience(self) -> float | None:
        """Seconds until there is something to `tidy`; None where there will not be."""
        if self._evicting:
            return 0.0
        if self._archive.empty:
            return None
        now = self._clock()
        due = [
            slot.used_at + (SETTLE if slot.dirty else self._idle_after)
            for slot in self.slots
            if slot.idle and slot.thread is not None and (slot.dirty or slot.thread not in self._archive.pinned)
        ]
        if not self._open:
            return 0.1 if due else None
        return max(0.0, min(due) - now) if due else None

    # Being told

    def pin(self, thread: str, pinned: bool) -> None:
        """Give the thread's KV up last; or as any other."""
        if pinned:
            self._archive.pinned.add(thread)
        else:
            self._archive.pinned.discard(thread)

    def forget(self, thread: str) -> None:
        """The thread is gone."""
        self.slots.forget(thread)
        self._archive.pinned.discard(thread)
        self._archive.forget(thread)

    def evict(self, evict: Evict) -> None:
        """Put a thread on disk in one of the next calls of `tidy`, and say where it is once it is there."""
        self._evicting.append(evict)

    def _evict(self, evict: Evict) -> None:
        """One that runs stays where it is."""
        slot = self.slots.of(evict.thread)
        if slot is not None and not slot.idle:
            self.settle(evict.ask, evict.thread)
            return
        for held in self.slots:
            if held.thread == evict.thread:
                self.save(held)
                self.slots.drop(held)
                self.evictions += 1
        self._archive.sink(evict.thread, lambda: self._evicted(evict))

    def _evicted(self, evict: Evict) -> None:
        self._archive.leave_ram(evict.thread)
        self.settle(evict.ask, evict.thread)

    def settle(self, ask: int, thread: str) -> None:
        """Answer a question with where the thread's KV is now."""
        live = self.slots.of(thread)
        self._settled.append(Settled(ask, thread, "live" if live else self._archive.where(thread)[0]))

    # Telling

    def settled(self) -> list[Settled]:
        """The answers since the last call."""
        settled, self._settled = self._settled, []
        return settled

    def moved(self) -> tuple[Moved, ...]:
        """What moved since the last call: each thread that is somewhere else, and live ones that have grown."""
        moved: list[Moved] = []
        for thread, tokens in self.slots.moved():
            if tokens is not None:
                self._tell(Moved(thread, "live", tokens), moved)
            elif self.slots.of(thread) is None:
                self._tell(self._place(thread), moved)
        for thread in self._archive.changed():
            if self.slots.of(thread) is None:
                self._tell(self._place(thread), moved)
        return tuple(moved)

    def _place(self, thread: str) -> Moved:
        residency, tokens = self._archive.where(thread)
        if residency == "cold":
            self._archive.forget(thread)
        return Moved(thread, residency, tokens)

    def _tell(self, place: Moved, moved: list[Moved]) -> None:
        """Tasks are nobody's to hear of."""
        if is_side(place.thread):
            return
        before = self._told.get(place.thread)
        if place.residency == "cold":
            self._told.pop(place.thread, None)
        else:
            self._told[place.thread] = place
        if before != place and (before is not None or place.residency != "cold"):
            moved.append(place)

    def stats(self) -> dict[str, Any]:
        """The `census`, what the tiers hold, and how many of threads' sequences had to go."""
        threads = [place.residency for place in self._told.values()]
        counted = census(self._context, self.slots, threads, self._archive.passing)
        return {**counted, "evictions": self.evictions, **self._archive.stats()}

    def close(self) -> None:
        """Save what threads have only live, the last used first, and have it all written to disk."""
        for slot in sorted(self.slots, key=lambda slot: -slot.used):
            if slot.thread is not None and slot.in_kv and not slot.side:
                self.save(slot)
        for thread in [each for each in self._archive.threads if not is_side(each)]:
            self._archive.sink(thread, lambda: None)


def packed(tokens: Iterable[int]) -> bytes:
    """Tokens as int32, little endian."""
    return np.fromiter(tokens, "<i4").tobytes()
