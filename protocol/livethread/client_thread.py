"""A thread on the server as a client's program holds it.

It sends commands about one thread and keeps a live copy of it. It must never know sockets or frames.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, UnsetType

from livethread.errors import ConnectionClosed, ProtocolError
from livethread.feed import Feed
from livethread.messages import (
    Append,
    Cancel,
    CancelOk,
    Command,
    Delete,
    Draft,
    Edit,
    Empty,
    Event,
    Evict,
    Generate,
    IfBusyGenerate,
    IfBusyMutate,
    Mutate,
    MutateOk,
    Op,
    ReadDraft,
    ResidencyOk,
    Runs,
    RunsOk,
    Subscribe,
    SubscribeOk,
    ThreadDelete,
    ThreadDeleted,
    ThreadFork,
    ThreadGet,
    ThreadGetOk,
    ThreadOk,
    ThreadUpdate,
    Truncate,
    Unsubscribe,
    VersionOk,
    Warm,
)
from livethread.model import Message, Metadata, Mode, Residency, Role, Run, Sampling, Thread
from livethread.replica import apply, begin
from livethread.run_stream import RunStream

if TYPE_CHECKING:
    from livethread.client import Client


class ClientThread:
    """One thread. Get it from `Client.create` or `Client.thread`, talk with `say`.

    ``value`` is the newest copy this client has; it is live, that is changed by every event, while
    ``attached``. ``more`` says that there are older messages than it holds. Every method that asks the
    server raises `CommandError` where it refuses and `ConnectionClosed` where the connection ends.
    """

    def __init__(self, client: Client, thread: str, value: Thread | None = None) -> None:
        self.client = client
        self.id = thread
        self.value = value
        self.more = False
        self.attached = False
        self._attaching = asyncio.Lock()
        self._feeds: set[Feed] = set()
        self._streams: dict[str, tuple[RunStream, Feed]] = {}

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

    async def cancel(self, run: str) -> CancelOk:
        """End a run; its state, also where it had ended before."""
        return await self.client.call(Cancel(id=0, run=run), CancelOk)

    async def runs(self) -> tuple[Run, ...]:
        """The runs of this thread: unfinished ones first."""
        return (await self.client.call(Runs(id=0, thread=self.id), RunsOk)).runs

    # Changing the thread

    async def append(
        self,
        content: str,
        role: Role = "user",
        *,
        message: str | None = None,
        metadata: Metadata | None = None,
    ) -> str:
        """Put a message at the end, with ``message`` as its id where given; its id."""
        return (await self.mutate([Append(Draft(role, content, message, metadata))])).messages[0]

    async def edit(self, message: str, content: str) -> MutateOk:
        """Replace the content of a message."""
        return await self.mutate([Edit(message, content)])

    async def delete_message(self, message: str) -> MutateOk:
        """Take a message out."""
        return await self.mutate([Delete(message)])

    async def truncate(self, after: str | None) -> MutateOk:
        """Take out everything after a message; everything where ``after`` is None."""
        return await self.mutate([Truncate(after)])

    async def mutate(
        self,
        ops: Iterable[Op],
        *,
        expect_version: int | None = None,
        key: str | None = None,
        if_busy: IfBusyMutate = "reject",
    ) -> MutateOk:
        """Apply ops, all or none, in order."""
        command = Mutate(
            id=0,
            thread=self.id,
            ops=tuple(ops),
            expect_version=expect_version,
            key=key,
            if_busy=if_busy,
        )
        return await self.client.call(command, MutateOk)

    async def update(self, **fields: Any) -> int:
        """Change settings (``title``, ``model``, ``sampling``, ``metadata``, ``overflow``, ``pinned``;
        ``expect_version``); None clears one. The thread's new version."""
        return (await self.client.call(ThreadUpdate(id=0, thread=self.id, **fields), VersionOk)).version

    async def fork(
        self, at: str | None = None, *, new_thread: str | None = None, title: str | None = None
    ) -> ClientThread:
        """A new thread that holds this one's messages up to and with ``at``."""
        command = ThreadFork(id=0, thread=self.id, at=at, new_thread=new_thread, title=title)
        return self.client.adopt((await self.client.call(command, ThreadOk)).thread)

    async def delete(self) -> None:
        """Delete the thread on the server, with everything that is kept of it."""
        await self.client.call(ThreadDelete(id=0, thread=self.id), Empty)

    # The thread's context

    async def draft(self, text: str) -> None:
        """Have the model read ahead what a person is typing as the next message; it is not kept."""
        await self.client.call(ReadDraft(id=0, thread=self.id, text=text), Empty)

    async def warm(self) -> Residency:
        """Make the thread's context live; where it is then."""
        return (await self.client.call(Warm(id=0, thread=self.id), ResidencyOk)).residency

    async def evict(self) -> Residency:
        """Put the thread's context on disk, from where it can be restored; where it is then."""
        return (await self.client.call(Evict(id=0, thread=self.id), ResidencyOk)).residency

    # Looking at the thread

    async def get(self, *, before: str | None = None, limit: int | None = None) -> ThreadGetOk:
        """The newest messages, or those before a message. A copy that is not live is replaced by it."""
        command = ThreadGet(id=0, thread=self.id, before=before, limit=limit)
        found = await self.client.call(command, ThreadGetOk)
        if not self.attached and before is None:
            self.value, self.more = begin(found.thread, found.run), found.more
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

        A reader that is too slow gets joined deltas, and then `FellBehind`. The iteration ends after
        `ThreadDeleted` and after `unsubscribe`.
        """
        feed = Feed()
        self._feeds.add(feed)
        try:
            await self.attach()
            async for event in feed:
                yield event
        finally:
            self._feeds.discard(feed)

    async def unsubscribe(self) -> None:
        """Get no more events; ``value`` stays as it is."""
        await self.client.call(Unsubscribe(id=0, thread=self.id), Empty)

    # What the client tells this thread, in the order of the connection

    @contextmanager
    def listening(self, stream: RunStream) -> Iterator[Feed]:
        """A feed of one run's events."""
        feed = Feed()
        self._streams[stream.run] = (stream, feed)
        try:
            yield feed
        finally:
            del self._streams[stream.run]

    def settle(self, command: Command, outcome: Struct) -> None:
        """Take note of a command that was carried out, before any event behind its reply."""
        if isinstance(outcome, SubscribeOk):
            self.value, self.attached = _whole(outcome), True
            self.more = outcome.more is True
        elif isinstance(command, Unsubscribe):
            self._detach(None)

    def take(self, event: Event) -> None:
        """Apply an event to the copy and pass it on to whoever reads."""
        if not self.attached or self.value is None:
            return
        self.value = apply(self.value, event)
        for feed in self._feeds:
            feed.offer(event)
        if found := self._streams.get(getattr(event, "run", "")):
            found[1].offer(event)
        if isinstance(event, ThreadDeleted):
            self._detach(None)

    def lose(self, error: ConnectionClosed) -> None:
        """The connection is gone."""
        self._detach(error)

    def abandon(self) -> None:
        """The client is leaving: cancel the runs that somebody here was reading."""
        for stream, _ in self._streams.values():
            stream.abandon()

    def _detach(self, error: ConnectionClosed | None) -> None:
        self.attached = False
        for feed in (*self._feeds, *(feed for _, feed in self._streams.values())):
            feed.end(error)


def _sampling(fields: dict[str, Any]) -> Sampling | None:
    return Sampling(**fields) if fields else None


def _whole(ok: SubscribeOk) -> Thread:
    if isinstance(ok.thread, UnsetType):
        raise ProtocolError("The server answered a subscription without its thread.")
    return begin(ok.thread, ok.run)
