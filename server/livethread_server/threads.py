"""What a thread looks like to a reader: snapshots bounded in bytes, summaries, residency.

It knows lanes' contents and where KV is; it must never know how threads change.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import msgspec
from msgspec import UNSET, UnsetType

from livethread.messages import Reuse, RunSnapshot, ThreadResidency
from livethread.model import MESSAGE_BYTES, Message, Residency, Thread
from livethread_server.engine.wire import Moved
from livethread_server.hub import Hub
from livethread_server.lanes import Lane
from livethread_server.mutation import index_of
from livethread_server.store.base import Turn


class Residencies:
    """Where each thread's KV is, as the engine says; everything else is cold."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._moved: dict[str, Moved] = {}

    def moved(self, moved: Moved) -> None:
        """The engine moved a thread's KV: remember it, and tell subscribers where it changed place."""
        was = self.of(moved.thread)
        if moved.residency == "cold":
            self._moved.pop(moved.thread, None)
        else:
            self._moved[moved.thread] = moved
        if was != moved.residency:
            self._hub.publish(ThreadResidency(thread=moved.thread, residency=moved.residency))

    def of(self, thread: str) -> Residency:
        """Where the thread's KV is."""
        moved = self._moved.get(thread)
        return "cold" if moved is None else moved.residency

    def shown(self, thread: Thread) -> Thread:
        """The thread with its residency filled in."""
        return msgspec.structs.replace(thread, residency=self.of(thread.id))

    def reuse(self, lane: Lane, before: Sequence[Turn], after: Sequence[Turn]) -> Reuse | None:
        """How much of the thread's live context survives a mutation; None where there is none to keep."""
        moved = self._moved.get(lane.id)
        if moved is None or lane.prompt is None:
            return None
        changed = next((old for old, new in zip(before, after, strict=False) if old is not new), None)
        if changed is None and len(after) < len(before):
            changed = before[len(after)]
        start = moved.tokens if changed is None else lane.prompt.starts.get(changed.message.id, moved.tokens)
        kept = min(start, moved.tokens)
        return Reuse(kept_tokens=kept, stale_tokens=moved.tokens - kept)


def snapshot(thread: Thread, turns: Sequence[Turn]) -> tuple[Thread, bool]:
    """The thread with its newest messages up to 256 KiB, and whether there are older ones."""
    messages = _newest(turns, None)
    return msgspec.structs.replace(thread, messages=messages), len(messages) < len(turns)


def excerpt(thread: Thread, turns: Sequence[Turn], before: str | None, limit: int | None) -> tuple[Thread, bool]:
    """The newest messages up to 256 KiB and ``limit``, of those that stand before ``before``."""
    stop = len(turns) if before is None else index_of(turns, before, "before")
    messages = _newest(turns[:stop], limit)
    return msgspec.structs.replace(thread, messages=messages), len(messages) < stop


def fitting(threads: Sequence[Thread]) -> int:
    """How many of the first of ``threads`` fit into 256 KiB; one always does."""
    sizes = accumulate(len(msgspec.json.encode(thread)) for thread in threads)
    return max(1, sum(size <= MESSAGE_BYTES for size in sizes))


def run_snapshot(lane: Lane, run: str | None = None, told: int = 0) -> RunSnapshot | UnsetType:
    """The run that streams in the lane now, with its text so far; if it is ``run``, only with what comes behind its
    token ``told``, where that can be vouched for."""
    streaming = lane.runs[0] if lane.runs else None
    found = streaming.snapshot(told if streaming.id == run else 0) if streaming else None
    return UNSET if found is None else found


def _newest(turns: Sequence[Turn], limit: int | None) -> tuple[Message, ...]:
    chosen: list[Message] = []
    room = MESSAGE_BYTES
    for turn in reversed(turns):
        room -= len(msgspec.json.encode(turn.message))
        if chosen and (room < 0 or len(chosen) == limit):
            break
        chosen.append(turn.message)
    return tuple(reversed(chosen))
