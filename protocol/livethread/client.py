"""The asyncio client: one WebSocket, many threads. The only I/O in this folder.

```python
async with livethread.connect("ws://127.0.0.1:8000/v1/ws") as client:
    thread = await client.create(title="Greetings")
    async for piece in thread.say("Hello"):
        print(piece, end="")
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import websockets
from msgspec import Struct
from websockets.asyncio.client import ClientConnection as Socket
from websockets.typing import Subprotocol

from livethread.client_thread import ClientThread
from livethread.codec import CODECS, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, Codec, Frame
from livethread.connection import Answer, ClientConnection
from livethread.errors import CommandError, ConnectError, ConnectionClosed, LivethreadError
from livethread.messages import (
    Command,
    Draft,
    Empty,
    Hello,
    HelloOk,
    Ping,
    Runs,
    RunsOk,
    ThreadCommand,
    ThreadCreate,
    ThreadList,
    ThreadListOk,
    ThreadOk,
)
from livethread.model import FRAME_BYTES, Run, Thread

GOODBYE_SECONDS = 2.0
"""How long `Client.close` waits for runs to be cancelled that nobody reads any more."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

Ok = TypeVar("Ok", bound=Struct)
T = TypeVar("T")


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: str | None = None,
    client: str = "livethread for Python",
    codec: Literal["msgpack", "json"] = "msgpack",
) -> AsyncIterator[Client]:
    """Connect to the server at ``url``, such as ``ws://127.0.0.1:8000/v1/ws``, and greet it.

    `ConnectError` where there is no server; `CommandError` ``unauthorized`` where it wants another token.
    Leaving the block cancels the runs whose streams were being read, and closes the connection.
    """
    subprotocol = {"msgpack": SUBPROTOCOL_MSGPACK, "json": SUBPROTOCOL_JSON}[codec]
    connected = Client(await _open(url, subprotocol), CODECS[subprotocol])
    try:
        await connected.greet(token, client)
        yield connected
    finally:
        await connected.close()


class Client:
    """One connection to a server; made by `connect`. Use it from any number of tasks of one event loop."""

    def __init__(self, socket: Socket, codec: Codec) -> None:
        self._socket = socket
        self._connection = ClientConnection(codec)
        self._waiting: dict[int, asyncio.Future[Struct | LivethreadError]] = {}
        self._threads: WeakValueDictionary[str, ClientThread] = WeakValueDictionary()
        self._attached: set[ClientThread] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hello: HelloOk | None = None
        self._lost: ConnectionClosed | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def hello(self) -> HelloOk:
        """What the server said of itself: its version, models and limits, and who we are to it."""
        assert self._hello is not None, "connect() greets before it gives the client away"
        return self._hello

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

    async def runs(self) -> tuple[Run, ...]:
        """The runs of all threads: unfinished ones first."""
        return (await self.call(Runs(id=0), RunsOk)).runs

    async def ping(self) -> None:
        """Come back when the server has answered."""
        await self.call(Ping(id=0), Empty)

    async def call(self, command: Command, ok: type[Ok]) -> Ok:
        """Send any command, its ``id`` aside, and wait for what it is answered with.

        `CommandError` where the server refuses it, `ConnectionClosed` where the connection ends first.
        """
        if self._lost is not None:
            raise ConnectionClosed(self._lost.code, self._lost.reason)
        number, frame = self._connection.send(command)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send(frame)
            outcome = await answer
        finally:
            del self._waiting[number]
        if isinstance(outcome, LivethreadError):
            raise outcome
        if not isinstance(outcome, ok):
            raise TypeError(f"{type(command).__name__} is answered with {command.Ok.__name__}, not {ok.__name__}.")
        return outcome

    async def close(self) -> None:
        """Cancel the runs whose streams were being read, and end the connection. Safe to call again."""
        for thread in tuple(self._attached):
            thread.abandon()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GOODBYE_SECONDS)
        await self._socket.close()
        await self._reader
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # For the threads of this client

    async def greet(self, token: str | None, client: str) -> None:
        """Say hello."""
        self._hello = await self.call(Hello(id=0, token=token, client=client), HelloOk)

    def adopt(self, value: Thread) -> ClientThread:
        """The thread that a reply held."""
        thread = self.thread(value.id)
        if not thread.attached:
            thread.value = value
        return thread

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside the caller; `close` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, frame: Frame) -> None:
        try:
            await self._socket.send(frame)
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None

    async def _read(self) -> None:
        lost = ConnectionClosed(1006, "the client stopped reading")
        try:
            while True:
                self._take(await self._socket.recv())
        except websockets.ConnectionClosed as error:
            lost = _closed(error)
        except LivethreadError as error:
            lost = ConnectionClosed(1002, str(error))
            await self._socket.close(1002, "the server broke the protocol")
        finally:
            self._lose(lost)

    def _take(self, frame: Frame) -> None:
        message = self._connection.receive(frame)
        if isinstance(message, Answer):
            self._settle(message.command, message.outcome)
        elif message is not None and (thread := self._threads.get(message.thread)):
            thread.take(message)
            self._note(thread)

    def _settle(self, command: Command, outcome: Struct | CommandError) -> None:
        thread = self._threads.get(command.thread) if isinstance(command, ThreadCommand) else None
        if thread is not None and isinstance(outcome, Struct):
            thread.settle(command, outcome)
            self._note(thread)
        answer = self._waiting.get(command.id)
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    def _note(self, thread: ClientThread) -> None:
        """Hold on to threads that get events, and only to those."""
        if thread.attached:
            self._attached.add(thread)
        else:
            self._attached.discard(thread)

    def _lose(self, error: ConnectionClosed) -> None:
        self._lost = error
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(ConnectionClosed(error.code, error.reason))
        for thread in self._attached:
            thread.lose(error)
        self._attached.clear()


async def _open(url: str, subprotocol: str) -> Socket:
    try:
        socket = await websockets.connect(
            url,
            subprotocols=[Subprotocol(subprotocol)],
            compression=None,
            max_size=8 * FRAME_BYTES,  # what the server adds to the messages of one of our frames has to fit
            proxy=None if urlsplit(url).hostname in LOCAL_HOSTS else True,
        )
    except (OSError, ValueError, websockets.WebSocketException) as error:
        raise ConnectError(f"No livethread server can be reached at {url}: {error}.") from error
    if socket.subprotocol != subprotocol:
        await socket.close()
        raise ConnectError(f"The server at {url} does not speak {subprotocol}. Is it a livethread server?")
    return socket


def _closed(error: websockets.ConnectionClosed) -> ConnectionClosed:
    frame = error.rcvd or error.sent
    return ConnectionClosed(frame.code, frame.reason) if frame else ConnectionClosed(1006, "it broke off")
