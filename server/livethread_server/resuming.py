"""What a subscriber that comes back lacks: exactly that, or nothing where it cannot be told in full.

It must never know sessions, or how the client lost its connection.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from livethread.codec import Codec
from livethread.messages import Reply, Since, SubscribeOk
from livethread.model import FRAME_BYTES
from livethread_server.history import told_since
from livethread_server.lanes import Lane
from livethread_server.store.base import EventRecord, Store
from livethread_server.threads import run_snapshot


async def rest(store: Store, lane: Lane, since: Since, codec: Codec) -> SubscribeOk | None:
    """The reply that brings a client from ``since`` to what the held lane is now.

    None where that cannot be: another epoch, a seq that has not been yet, events that are not kept any more, or more
    of them than a frame holds. Nothing is awaited once the lane has been looked at.
    """
    if since.epoch != lane.thread.epoch:
        return None
    missed = await told_since(store, lane.history, lane.id, since.seq, lane.thread.seq)
    if missed is None:
        return None
    run = None if _begins(missed, since.run) else since.run
    ok = SubscribeOk(
        epoch=lane.thread.epoch,
        seq=lane.thread.seq,
        version=lane.thread.version,
        recovered=True,
        events=tuple(Raw(record.body) for record in missed),
        run=run_snapshot(lane, run, since.to),
    )
    return ok if _fits(ok, codec) else None


class _Head(Struct, frozen=True):
    """What must be known of an event to know whether a run's text begins anew with it."""

    type: str
    run: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


def _begins(missed: tuple[EventRecord, ...], run: str | None) -> bool:
    """Whether the run's text begins anew in one of the events, so that a position before it says nothing."""
    heads = (_HEAD.decode(record.body) for record in missed)
    return run is not None and any(head.run == run and head.type in ("run.started", "run.recovered") for head in heads)


def _fits(ok: SubscribeOk, codec: Codec) -> bool:
    """Whether the reply is a frame that may be sent, whatever id the command had."""
    frame = codec.encode(Reply(id=(1 << 63) - 1, ok=ok))
    return len(frame.encode() if isinstance(frame, str) else frame) <= FRAME_BYTES
