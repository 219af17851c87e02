"""What happens, over HTTP: the events of a thread from any position on, and changes of all threads, as streams.

It must never know what the events mean.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from msgspec import Struct
from starlette.responses import Response

from livethread import messages as wire
from livethread.errors import ErrorCode
from livethread_server.http.asking import ask
from livethread_server.http.call import Call
from livethread_server.http.operation import Operation, StreamEvent
from livethread_server.http.sse import event
from livethread_server.http.telling import LAST_EVENT_ID, Position, Telling, since_of, told
from livethread_server.outbox import Outbox
from livethread_server.service import Service

TAG = "events"


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """``since`` is the id of the last event that was read, for who cannot send ``Last-Event-ID``, which goes before."""

    since: Position | None = None


class Events:
    """Carries out the operations that stream."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def thread(self, call: Call) -> Response:
        """What happens to a thread, behind what the client lacks of it."""
        # A browser that comes back by itself brings the header, and the query that it began with.
        position = call.request.headers.get("last-event-id", call.query.since)
        since = None if position is None else since_of(position)
        call.stay()
        command = wire.Subscribe(id=0, thread=call.path["thread"], since=since)
        return call.stream(_thread(await ask(self._service, call.session, command), call.session.outbox))

    async def watch(self, call: Call) -> Response:
        """What happens to all threads."""
        await ask(self._service, call.session, wire.Watch(id=0))
        return call.stream(_all(call.session.outbox))

    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        return (
            Operation(
                id="thread_events",
                method="GET",
                path="/v1/threads/{thread}/events",
                tag=TAG,
                summary="The events of a thread as they happen: first a 'snapshot' of it, or behind a position the "
                "'resumed' events that were missed, then each event by its type. Ends with the thread.",
                handler=self.thread,
                query=EventsQuery,
                streams=(
                    *(StreamEvent("snapshot", wire.SubscribeOk), StreamEvent("resumed", wire.SubscribeOk)),
                    *(wire.ThreadUpdated, wire.ThreadDeleted, wire.ThreadMutated, wire.RunQueued),
                    *(wire.RunStarted, wire.RunProgress, wire.RunDelta, wire.RunRecovered, wire.RunFinished),
                    *(wire.ThreadResidency, wire.PresenceChanged, wire.ThreadGone),
                ),
                headers=(LAST_EVENT_ID,),
                errors=(ErrorCode.NOT_FOUND,),
            ),
            Operation(
                id="watch",
                method="GET",
                path="/v1/watch",
                tag=TAG,
                summary="Threads that are made, changed or gone, of all that you may read, behind a 'watching'. List "
                "the threads once that has come, and nothing is missed.",
                handler=self.watch,
                streams=(StreamEvent("watching", wire.Empty), wire.ThreadCreated, wire.ThreadChanged, wire.ThreadGone),
            ),
        )


async def _thread(ok: wire.SubscribeOk, outbox: Outbox) -> AsyncGenerator[bytes, None]:
    telling = Telling(ok)
    yield event(msgspec.json.encode(ok), "resumed" if ok.recovered else "snapshot", telling.position)
    while frames := await told(outbox):
        yield b"".join(telling.part(frame, head) for frame, head in frames)
        if any(head.type == "thread.deleted" for _, head in frames):
            return


async def _all(outbox: Outbox) -> AsyncGenerator[bytes, None]:
    yield event(b"{}", "watching")
    while frames := await told(outbox):
        yield b"".join(event(frame, head.type) for frame, head in frames)
