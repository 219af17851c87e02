"""A thread on the server as a client's program holds it.

It sends commands about one thread and keeps a live copy of it. It must never know sockets or frames.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET

from livethread.calls import Outcome
from livethread.errors import CommandError, ConnectionClosed
from livethread.feed import Feed
from livethread.live_copy import LiveCopy
from livethread.messages import (
    Append,
    Command,
    Draft,
    Empty,
    Event,
    Generate,
    Here,
    IfBusyGenerate,
    Op,
    Presence,
    Subscribe,
    SubscribeOk,
    ThreadGet,
    ThreadGetOk,
    Unsubscribe,
)
from livethread.model import Message, Mode, Sampling, Thread
from livethread.run_stream import RunStream
from livethread.thread_commands import ThreadCommands

if TYPE_CHECKING:
    from livethread.client import Client


class ClientThread(ThreadCommands):
    """One thread. Get it from `Client.create` or `Client.thread`, talk with `say`.

    ``value`` is the newest copy this client has; it is live, that is changed by every event, while ``attached``.
    Every method that asks the server raises `CommandError` where it refuses, and waits while the client has no
    connection; `ConnectionClosed` where it does not come back.
    """

    def __init__(self, client: Client, thread: str) -> None:
        super().__init__(client, thread)
        self._copy = LiveCopy()
        self._attaching = asyncio.Lock()
        self._streams: set[RunStream] = set()
        self._present = False

    @property
    def value(self) -> Thread | None:
        """The newest copy; None where there is none yet."""
        return self._copy.value

    @property
    def more(self) -> bool:
        """Whether there are older messages than the copy holds."""
        return self._copy.more

    @property
    def attached(self) -> bool:
        """Whether the copy is live. It stays so over cuts of the connection, and is brought up to date after them."""
        return self._copy.attached

    @property
    def here(self) -> tuple[Here, ...]:
        """Who looks at the thread now, while it is attached; say `presence` to be told at once."""
        return self._copy.here

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages of the copy; none where there is no copy yet."""
        return self.value.messages if self.value else ()

    @property
    def last(self) -> Message | None:
        """The last message of the copy."""
        return self.messages[-1] if self.messages else None

    # Asking the model

    def say(self, text: str, **sampling: Any) -> RunStream:
        """Append a user's message and stream the reply: ``async for piece in thread.say("Hello")``.

        Keywords are the fields of `Sampling`, such as ``temperature=0, max_tokens=100``.
        """
        return self.generate(Append(Draft("user", text)), sampling=_sampling(sampling))

    def reply(self, **sampling: Any) -> RunStream:
        """Stream a reply to the thread as it is."""
        return self.generate(sampling=_sampling(sampling))

    def regenerate(self, **sampling: Any) -> RunStream:
        """Stream a new reply in the place of the last one."""
        return self.generate(mode="regenerate", sampling=_sampling(sampling))

    def continue_(self, **sampling: Any) -> RunStream:
        """Let the model go on with the last assistant message; the stream holds what is new."""
        return self.generate(mode="continue", sampling=_sampling(sampling))

    def generate(
        self,
        *ops: Op,
        mode: Mode = "reply",
        sampling: Sampling | None = None,
        if_busy: IfBusyGenerate = "reject",
        on_disconnect: Literal["continue", "cancel"] = "continue",
        timeout_ms: int | None = None,
        expect_version: int | None = None,
        key: str | None = None,
    ) -> RunStream:
        """Change the thread by ``ops`` and stream what the model writes then. Nothing is asked for before
        the stream is iterated."""
        run = f"r{uuid.uuid4().hex}"
        request = Generate(
            id=0,
            thread=self.id,
            ops=ops,
            run=run,
            mode=mode,
            sampling=sampling,
            if_busy=if_busy,
            on_disconnect=on_disconnect,
            timeout_ms=timeout_ms,
            expect_version=expect_version,
            key=key,
        )
        return RunStream(self, run, request)

    # Looking at the thread

    async def get(self, *, before: str | None = None, limit: int | None = None) -> ThreadGetOk:
        """The newest messages, or those before a message. A copy that is not live is replaced by it."""
        command = ThreadGet(id=0, thread=self.id, before=before, limit=limit)
        found = await self.client.call(command, ThreadGetOk)
        if before is None:
            self._copy.show(found.thread, found.run, found.more)
        return found

    async def attach(self) -> Thread:
        """Subscribe, unless that is done; the copy, which is live from now on."""
        async with self._attaching:
            if not self.attached:
                await self.client.call(Subscribe(id=0, thread=self.id), SubscribeOk)
        assert self.value is not None, "the client gave us the snapshot before the reply"
        return self.value

    async def subscribe(self) -> AsyncIterator[Event]:
        """Everything that happens to the thread from now on; ``value`` holds what was before.

        A reader that is too slow gets joined deltas, and then `FellBehind`. After a cut of the connection what was
        missed comes late; where the server does not know it any more, `ThreadReplaced` comes instead. The iteration
        ends after `ThreadDeleted` and after `unsubscribe`.
        """
        feed = Feed()
        self._copy.feeds.add(feed)
        try:
            await self.attach()
            async for event in feed:
                yield event
        finally:
            self._copy.feeds.discard(feed)

    async def unsubscribe(self) -> None:
        """Get no more events; ``value`` stays as it is."""
        await self.client.call(Unsubscribe(id=0, thread=self.id), Empty)

    # What the client tells this thread, in the order of the connection

    @contextmanager
    def listening(self, stream: RunStream) -> Iterator[Feed]:
        """A feed of one run's events."""
        feed = self._copy.streams[stream.run] = Feed()
        self._streams.add(stream)
        try:
            yield feed
        finally:
            self._streams.discard(stream)
            del self._copy.streams[stream.run]

    def show(self, value: Thread) -> None:
        """A reply held this thread."""
        self._copy.show(value, UNSET, False)

    def returning(self) -> Iterator[Command]:
        """What to say in a new session to take up where the copy stands."""
        if (since := self._copy.since) is not None:
            yield Subscribe(id=0, thread=self.id, since=since)
            if self._present:
                yield Presence(id=0, thread=self.id)

    def settle(self, command: Command, outcome: Outcome) -> None:
        """Take note of what a command was answered, before any event behind its reply."""
        if isinstance(outcome, SubscribeOk):
            self._copy.subscribed(outcome)
        elif isinstance(outcome, CommandError):
            if isinstance(command, Subscribe) and command.since is not None:
                self._copy.detach(outcome)
        elif isinstance(command, Unsubscribe):
            self._present = False
            self._copy.detach(None)
        elif isinstance(command, Presence):
            self._present = True

    def take(self, event: Event) -> None:
        """Apply an event to the copy and pass it on to whoever reads."""
        self._copy.take(event)

    def lose(self, error: ConnectionClosed) -> None:
        """The connection is gone for good."""
        self._copy.detach(error)

    def abandon(self) -> None:
        """The client is leaving: cancel the runs that somebody here was reading."""
        for stream in self._streams:
            stream.abandon()


def _sampling(fields: dict[str, Any]) -> Sampling | None:
    return Sampling(**fields) if fields else None
