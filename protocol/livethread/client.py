"""The asyncio client: many threads over one connection, which comes back by itself when it is cut.

```python
async with livethread.connect("ws://127.0.0.1:8000/v1/ws") as client:
    thread = await client.create(title="Greetings")
    async for piece in thread.say("Hello"):
        print(piece, end="")
```
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from livethread.backoff import Backoff
from livethread.calls import Outcome
from livethread.client_thread import ClientThread
from livethread.codec import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from livethread.errors import CloseCode, CommandError, ConnectError, ConnectionClosed
from livethread.lifeline import Lifeline
from livethread.messages import (
    Command,
    Draft,
    Empty,
    Event,
    Hello,
    HelloOk,
    Ping,
    Runs,
    RunsOk,
    Subscribe,
    TaskCreate,
    TaskEvent,
    ThreadChanged,
    ThreadCommand,
    ThreadCreate,
    ThreadCreated,
    ThreadGone,
    ThreadList,
    ThreadListOk,
    ThreadOk,
    Watch,
)
from livethread.model import Run, Thread
from livethread.session import OpenSession, open_session
from livethread.states import ClientState
from livethread.task_stream import TaskStream
from livethread.task_streams import TaskStreams
from livethread.thread_list import ThreadTable

GOODBYE_SECONDS = 2.0
"""How long `Client.close` waits for runs to be cancelled that nobody reads any more."""

Token = str | Callable[[], str | Awaitable[str | None] | None] | None
"""A token, or what gives a fresh one for each session."""
Ok = TypeVar("Ok", bound=Struct)
T = TypeVar("T")


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: Token = None,
    client: str = "livethread for Python",
    codec: Literal["msgpack", "json"] = "msgpack",
    reconnect: bool | Backoff = True,
) -> AsyncIterator[Client]:
    """Connect to the server at ``url``, such as ``ws://127.0.0.1:8000/v1/ws``, and greet it.

    `ConnectError` where there is no server; `CommandError` ``unauthorized`` where it wants another token.
    Afterwards, unless ``reconnect`` is False, a client whose connection is cut comes back by itself: see `Client`.
    Leaving the block cancels the runs whose streams were being read, and closes the connection.
    """
    subprotocol = {"msgpack": SUBPROTOCOL_MSGPACK, "json": SUBPROTOCOL_JSON}[codec]
    backoff = (Backoff() if reconnect else None) if isinstance(reconnect, bool) else reconnect
    connected = Client(
        partial(open_session, url, subprotocol), partial(_hello, token, client), backoff, renews=callable(token)
    )
    try:
        await connected.open()
        yield connected
    finally:
        await connected.close()


class Client:
    """One connection to a server; made by `connect`. Use it from any number of tasks of one event loop.

    When the connection is cut, the client waits (full jitter, see `Backoff`), connects again, takes up every thread
    that it follows where it was, and sends again what has no answer: commands simply take longer, streams go on,
    copies are brought up to date, and a change that was sent is made once. So it does, a few times in a row, where
    what the server tells does not join on to what it told before. Where the server says not to come back,
    or the `Backoff` ends, everything that waits raises `ConnectionClosed`. `state` and `states` show all this.
    """

    def __init__(
        self,
        open_session: OpenSession,
        hello: Callable[[], Awaitable[Hello]],
        backoff: Backoff | None,
        *,
        renews: bool = False,
    ) -> None:
        self._lifeline = Lifeline(self, open_session, hello, backoff, renews=renews)
        self._threads: WeakValueDictionary[str, ClientThread] = WeakValueDictionary()
        self._attached: set[ClientThread] = set()
        self._tables: set[ThreadTable] = set()
        self.streams = TaskStreams()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def hello(self) -> HelloOk:
        """What the server said of itself: its version, models and limits, and who we are to it."""
        assert self._lifeline.hello is not None, "connect() greets before it gives the client away"
        return self._lifeline.hello

    @property
    def state(self) -> ClientState:
        """Whether there is a connection now."""
        return self._lifeline.states.now

    def states(self) -> AsyncIterator[ClientState]:
        """The state now, then every other; ends when the client has closed."""
        return self._lifeline.states.follow()

    async def create(self, *, messages: Iterable[Draft] = (), **fields: Any) -> ClientThread:
        """A new thread. Fields: ``thread`` (its id), ``model``, ``title``, ``sampling``, ``metadata``,
        ``overflow``, ``pinned``, ``if_exists``."""
        command = ThreadCreate(id=0, messages=tuple(messages), **fields)
        return self.adopt((await self.call(command, ThreadOk)).thread)

    def thread(self, thread: str) -> ClientThread:
        """The thread with this id, whether there is one or not; the same object while it is in use."""
        found = self._threads.get(thread)
        if found is None:
            found = self._threads[thread] = ClientThread(self, thread)
        return found

    async def threads(self, page: int = 50) -> AsyncIterator[Thread]:
        """All threads, without their messages, newest change first; asked for ``page`` at a time."""
        cursor: str | None = None
        while True:
            found = await self.call(ThreadList(id=0, limit=page, cursor=cursor), ThreadListOk)
            for thread in found.threads:
                yield thread
            cursor = found.cursor
            if cursor is None:
                return

    async def watch(self, page: int = 200) -> AsyncIterator[tuple[Thread, ...]]:
        """All threads as they are now, newest change first, and again after every change of any of them."""
        table = ThreadTable()
        self._tables.add(table)
        try:
            await self.call(Watch(id=0), Empty)
            while True:
                if table.stale:
                    table.clear()
                    async for thread in self.threads(page):
                        table.list(thread)
                yield table.threads
                await table.change()
        finally:
            self._tables.discard(table)

    async def runs(self) -> tuple[Run, ...]:
        """The runs of all threads: unfinished ones first."""
        return (await self.call(Runs(id=0), RunsOk)).runs

    def task(
        self, kind: str, asked: Struct | dict[str, Any], *, timeout_ms: int | None = None, task: str | None = None
    ) -> TaskStream:
        """A stateless task of a kind, such as ``chat-completion``, with an input of `livethread.tasks`. It is begun
        when it is first iterated over or awaited."""
        plain = msgspec.to_builtins(asked, str_keys=True)
        return TaskStream(self, TaskCreate(id=0, kind=kind, input=plain, timeout_ms=timeout_ms, task=task))

    async def ping(self) -> None:
        """Come back when the server has answered."""
        await self.call(Ping(id=0), Empty)

    async def call(self, command: Command, ok: type[Ok]) -> Ok:
        """Send any command, its ``id`` aside, and wait for what it is answered with.

        `CommandError` where the server refuses it, `ConnectionClosed` where the client does not come back.
        """
        outcome = await self._lifeline.call(command)
        if not isinstance(outcome, ok):
            raise TypeError(f"{type(command).__name__} is answered with {command.Ok.__name__}, not {ok.__name__}.")
        return outcome

    async def close(self) -> None:
        """Cancel the runs whose streams were being read, and end the connection. Safe to call again."""
        for thread in tuple(self._attached):
            thread.abandon()
        self.streams.abandon()
        if self._tasks and self._lifeline.connected:
            await asyncio.wait(self._tasks, timeout=GOODBYE_SECONDS)
        await self._lifeline.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # For the threads of this client

    async def open(self) -> None:
        """Connect and say hello; once."""
        await self._lifeline.open()

    def adopt(self, value: Thread) -> ClientThread:
        """The thread that a reply held."""
        thread = self.thread(value.id)
        thread.show(value)
        return thread

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside the caller; `close` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What the lifeline tells this client, in the order of the connection

    def returning(self) -> Iterable[Command]:
        """What to say first in a new session: take up what is followed."""
        if self._tables:
            yield Watch(id=0)
        for table in self._tables:
            table.miss()
        for thread in tuple(self._attached):
            yield from thread.returning()
        yield from self.streams.returning()

    def take(self, event: Event | TaskEvent) -> None:
        """Pass an event on to those it is for."""
        if isinstance(event, TaskEvent):
            self.streams.take(event)
            return
        if isinstance(event, ThreadCreated | ThreadChanged | ThreadGone):
            for table in self._tables:
                table.take(event)
        if isinstance(event, ThreadCreated | ThreadChanged):
            return
        if thread := self._threads.get(event.thread):
            thread.take(event)
            self._note(thread)

    def settle(self, command: Command, outcome: Outcome) -> None:
        """Tell a thread of what was answered, before any event behind the answer."""
        if isinstance(command, ThreadCommand) and (thread := self._threads.get(command.thread)):
            if isinstance(command, Subscribe) and command.since is not None and _later(outcome):
                raise ConnectionClosed(CloseCode.RATE, str(outcome))  # come back when the server has room
            thread.settle(command, outcome)
            self._note(thread)
        if isinstance(command, TaskCreate):
            self.streams.settle(command, outcome)

    def lose(self, error: ConnectionClosed) -> None:
        """Nothing more comes."""
        for thread in self._attached:
            thread.lose(error)
        for table in self._tables:
            table.end(error)
        self.streams.lose(error)
        self._attached.clear()

    def _note(self, thread: ClientThread) -> None:
        """Hold on to threads that get events, and only to those."""
        if thread.attached:
            self._attached.add(thread)
        else:
            self._attached.discard(thread)


def _later(outcome: Outcome) -> bool:
    return isinstance(outcome, CommandError) and outcome.retryable


async def _hello(token: Token, client: str) -> Hello:
    if token is not None and not isinstance(token, str):
        try:
            given = token()
            token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise ConnectError(f"There is no token to say hello with: {error or type(error).__name__}.") from error
    return Hello(id=0, token=token, client=client)
