"""One run, followed by whoever began it: its events up to its end, and what it comes to.

It must never know how it is shown to a client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import UNSET, Struct, UnsetType

from livethread.errors import CommandError, ErrorCode
from livethread.messages import ErrorBody, Generate, GenerateOk, RunSnapshot, Subscribe, SubscribeOk
from livethread.model import Message, Reason, Run, Thread, Timings, Usage
from livethread_server.http.asking import ask
from livethread_server.http.telling import Head, position_of, told
from livethread_server.lookups import unknown_run
from livethread_server.service import Service
from livethread_server.session import Session


class RunEnd(Struct, frozen=True, kw_only=True, tag_field="type", tag="run.finished"):
    """The wire's `RunFinished`, also of a run that had ended so long before somebody asked again that the event is not
    kept: then ``message`` is as it is now, null where it is not in the thread any more, and there is no ``error``.
    """

    thread: str
    seq: int
    version: int
    run: str
    reason: Reason
    message: Message | None
    usage: Usage | None
    timings: Timings | None
    error: ErrorBody | UnsetType = UNSET


class RunDone(Struct, frozen=True, kw_only=True):
    """What a run came to. ``message`` is the one that it wrote, ``messages`` are the ids that the request's ops made.
    ``error`` says why a run whose reason is ``error`` ended.
    """

    run: str
    thread: str
    message: Message | None
    messages: tuple[str, ...]
    reason: Reason
    usage: Usage | None
    timings: Timings | None
    version: int
    seq: int
    error: ErrorBody | UnsetType = UNSET


class OneRun:
    """A run that a session began or joined. ``snapshot`` is there where it streamed already: its text up to the first
    event. ``position`` is where its thread was before it: behind that is all that happened since, of whatever run.
    It is ``forgotten`` where nothing is known of it but that it was accepted."""

    def __init__(
        self, service: Service, session: Session, thread: str, heard: SubscribeOk, accepted: GenerateOk
    ) -> None:
        self._service = service
        self._session = session
        self._thread = thread
        self._ended: RunEnd | None = None
        self.forgotten = False
        self.accepted = accepted
        self.position = position_of(heard)
        streams = heard.run is not UNSET and heard.run.run == accepted.run
        self.snapshot: RunSnapshot | UnsetType = heard.run if streams else UNSET

    @classmethod
    async def begin(cls, service: Service, session: Session, command: Generate) -> OneRun:
        """Subscribe, so that nothing is missed, and generate. `CommandError` where either is refused."""
        heard = await ask(service, session, Subscribe(id=0, thread=command.thread))
        one = cls(service, session, command.thread, heard, await ask(service, session, command))
        if command.key is not None or command.run is not None:
            await one._look_back()
        return one

    @classmethod
    async def join(cls, service: Service, session: Session, run: Run) -> OneRun:
        """Subscribe to the thread of a run that somebody began. `CommandError` where that is refused."""
        heard = await ask(service, session, Subscribe(id=0, thread=run.thread))
        accepted = GenerateOk(run.id, run.message, (), heard.version, run.position)
        one = cls(service, session, run.thread, heard, accepted)
        await one._look_back()
        return one

    async def frames(self) -> AsyncGenerator[tuple[str, Head], None]:
        """The run's own events as they come, up to its end. `CommandError` where no more is told."""
        run, outbox = self.accepted.run, self._session.outbox
        if self.forgotten:
            raise unknown_run(run)
        while self._ended is None or outbox.waiting_bytes:
            frames = await told(outbox)
            for frame, head in frames:
                if head.run == run:
                    yield frame, head
                if head.type == "run.finished" and head.run == run:
                    return
                if head.type == "thread.deleted":
                    raise _out_of_sight(run)
            if not frames:
                raise _going_away(run)
        yield msgspec.json.encode(self._ended).decode(), Head("run.finished", self._ended.seq, run)

    async def done(self) -> RunDone:
        """What it came to, as soon as it has ended. `CommandError` as `frames`."""
        async with aclosing(self.frames()) as frames:
            async for frame, head in frames:
                if head.type == "run.finished":
                    return self._done(msgspec.json.decode(frame, type=RunEnd))
        raise _going_away(self.accepted.run)

    def _done(self, end: RunEnd) -> RunDone:
        return RunDone(messages=self.accepted.messages, **msgspec.structs.asdict(end))

    async def _look_back(self) -> None:
        """The run may have ended before it was listened to: then see what is still known of its end."""
        lookups = self._service.lookups
        try:
            run = await lookups.run(self._session, self.accepted.run)
        except CommandError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            await self._remember(None)
            return
        if run.state == "finished":
            told = await lookups.end(run.id)
            if told is None:
                await self._remember(run.reason)
            else:
                self._ended = msgspec.json.decode(told, type=RunEnd)

    async def _remember(self, reason: Reason | None) -> None:
        """See what the thread says of the run, of which the store has no more than why it ended, or not even that."""
        message, thread = await self._service.lookups.message(self._session, self._thread, self.accepted.message)
        if reason is None and message is not None and message.run == self.accepted.run:
            reason = message.reason
        self.forgotten = reason is None
        if reason is not None:
            self._ended = _end_of(self.accepted.run, reason, message, thread)


def _end_of(run: str, reason: Reason, message: Message | None, thread: Thread) -> RunEnd:
    return RunEnd(
        thread=thread.id,
        seq=thread.seq,
        version=thread.version,
        run=run,
        reason=reason,
        message=message,
        usage=None if message is None else message.usage,
        timings=None if message is None else message.timings,
    )


def _out_of_sight(run: str) -> CommandError:
    return CommandError(ErrorCode.NOT_FOUND, f"You may read the thread of run {run!r} no more.", field="thread")


def _going_away(run: str) -> CommandError:
    return CommandError(
        ErrorCode.MODEL_UNAVAILABLE, f"The server is shutting down. Ask for run {run!r} when it is back.", run=run
    )
