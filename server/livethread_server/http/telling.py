"""What a session is told, as server-sent events with positions that a client can come back with.

A position is ``epoch:seq``, and ``:run:to`` behind it while a run streams: the wire's ``since``. It must never know how
events are written to a connection.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct

from livethread.errors import CloseCode, CommandError, ErrorCode, bad_request
from livethread.messages import Since, SubscribeOk
from livethread_server.http.operation import Header
from livethread_server.http.sse import event
from livethread_server.outbox import Outbox

POSITION_PATTERN = r"^([A-Za-z0-9_-]{1,64}):([0-9]{1,15})(:([A-Za-z0-9_-]{1,64}):([0-9]{1,15}))?$"
Position = Annotated[str, Meta(pattern=POSITION_PATTERN)]

LAST_EVENT_ID = Header(
    "Last-Event-ID", "The id of the last event that was read: what came behind it is told.", Position
)

_POSITION = re.compile(POSITION_PATTERN)


class Head(Struct, frozen=True):
    """What must be known of an event to place it."""

    type: str
    seq: int | None = None
    run: str | None = None
    to: int | None = None


_HEAD = msgspec.json.Decoder(Head)


def since_of(text: str) -> Since:
    """The wire's ``since`` of a position. `CommandError` ``bad_request``."""
    found = _POSITION.search(text)
    if found is None:
        raise bad_request("Last-Event-ID", "The position is no id of an event of this API. Leave it out to begin anew.")
    epoch, seq, _, run, to = found.groups()
    return Since(epoch=epoch, seq=int(seq), run=run, to=int(to or 0))


def position_of(ok: SubscribeOk) -> str:
    """How far a client is that knows what was durable when its subscription was answered, and no run's text."""
    return f"{ok.epoch}:{ok.seq}"


class Telling:
    """Turns a subscriber's frames into server-sent events, behind what its subscription was answered."""

    def __init__(self, ok: SubscribeOk) -> None:
        self._epoch = ok.epoch
        self._seq = ok.seq
        self._run: tuple[str, int] | None = None if ok.run is UNSET else (ok.run.run, ok.run.to)

    @property
    def position(self) -> str:
        """How far a client is that was told all so far."""
        text = f"{self._epoch}:{self._seq}"
        return text if self._run is None else f"{text}:{self._run[0]}:{self._run[1]}"

    def part(self, frame: str, head: Head) -> bytes:
        """The event of a frame; one that a client cannot miss for long has no position of its own."""
        durable = head.seq is not None
        if head.seq is not None:
            self._seq = head.seq
        if head.type == "run.finished":
            self._run = None
        elif head.run is not None and head.to is not None:
            self._run = head.run, head.to
        elif head.type == "run.started" and head.run is not None:
            self._run = head.run, 0
        return event(frame, head.type, self.position if durable or head.type == "run.delta" else "")


async def told(outbox: Outbox) -> list[tuple[str, Head]]:
    """The next events of a session, as soon as there are any; none once the server goes away. `CommandError` where the
    session may hear no more, or did not keep up."""
    if frames := await outbox.take():
        return [(text, _HEAD.decode(text)) for text in frames if isinstance(text, str)]
    code, reason = outbox.closed or (CloseCode.GOING_AWAY, "")
    if code is CloseCode.UNAUTHORIZED:
        raise CommandError(ErrorCode.UNAUTHORIZED, reason)
    if code is CloseCode.SLOW:
        raise CommandError(ErrorCode.RATE_LIMITED, f"This was read too slowly: {reason}. Come back with its last id.")
    return []
