"""What keeps a client connected: session after session, and every command answered once.

When a session is cut the lifeline waits, opens another, greets, lets its owner take up what was followed, and sends
again what has no answer. A session in which the server breaks the protocol is left, and another opened, a few times
in a row. This module must never know threads, or what is in a socket's frames.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from msgspec import Struct

from livethread.backoff import STEADY_SECONDS, Backoff, may_return
from livethread.calls import Call, Outcome, decided, doubt, understood
from livethread.errors import CloseCode, CommandError, ConnectError, ConnectionClosed, ErrorCode, LivethreadError
from livethread.messages import Command, Event, Hello, HelloOk, TaskEvent
from livethread.owner import Owner
from livethread.session import Answered, OpenSession, Session
from livethread.states import ClientState, States

HELLO_SECONDS = 10.0
"""How long a server may take to answer a hello."""

AT_ONCE = 256
"""How many commands wait for their answers at once while a new session takes up the last: servers refuse too many."""

MENDS = 3
"""How many sessions in a row, all shorter than `STEADY_SECONDS`, may end because the server broke the protocol."""


class Lifeline:
    """Begin with `open`, end with `close`; between them `call` as often as you like. ``renews``: each ``hello``
    may bring another token.
    """

    def __init__(
        self,
        owner: Owner,
        open_session: OpenSession,
        hello: Callable[[], Awaitable[Hello]],
        backoff: Backoff | None,
        *,
        renews: bool = False,
    ) -> None:
        self.states = States()
        self.hello: HelloOk | None = None
        self._owner = owner
        self._open_session = open_session
        self._hello = hello
        self._backoff = backoff
        self._renews = renews
        self._calls: dict[Call, None] = {}
        self._session: Session | None = None
        self._newest: Session | None = None
        self._lost: ConnectionClosed | None = None
        self._tries = 0
        self._broken = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether what is sent now goes out now."""
        return self._session is not None

    async def open(self) -> None:
        """Open the first session. `ConnectError`, `ConnectionClosed` or `CommandError` where that fails."""
        self._session = await self._open()
        self._task = asyncio.create_task(self._live(self._session))

    async def call(self, command: Command) -> Struct:
        """What the server answers. `CommandError` where it refuses, `ConnectionClosed` where it never answers, whatever
        the encoder raises where the command cannot be put into words.
        """
        call = Call(command)
        outcome = await self._ask(call)
        for tries in itertools.count():
            if self._backoff is None or self._backoff.ends(tries) or not (call.late and _loading(outcome)):
                break
            # The server was just restarted, and cannot generate yet.
            await self._backoff.sleep(self._backoff.seconds(tries))
            call = call.again()
            outcome = await self._ask(call)
        if call.repeated:
            outcome = await self._understand(call.command, outcome)
        if isinstance(outcome, CommandError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """End it all. Safe to call again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    # One command

    async def _ask(self, call: Call) -> Outcome:
        if self._lost is not None:
            raise ConnectionClosed(self._lost.code, self._lost.reason)
        if self._session is None and self._newest is not None:
            self._newest.prove(call.command)  # who asks hears at once of what could never be sent
        self._calls[call] = None
        try:
            if self._session is not None:
                await self._say(self._session, call)
            outcome = await call.answer
        finally:
            del self._calls[call]
        if isinstance(outcome, ConnectionClosed):
            raise outcome
        return outcome

    async def _say(self, session: Session, call: Call) -> None:
        try:
            await session.send(call)
        except ConnectionClosed:
            return  # it is sent in the next session; where there is none, that is the answer

    async def _understand(self, command: Command, outcome: Outcome) -> Outcome:
        """What the answer to a command means that may have been carried out before it was answered."""
        if (question := doubt(command, outcome)) is not None:
            return decided(command, outcome, await self._ask(Call(question)))
        return understood(command, outcome)

    # Session after session

    async def _live(self, session: Session) -> None:
        lost = ConnectionClosed(1006, "the client stopped reading")
        try:
            while True:
                error = await self._through(session)
                session = await self._again(error)
        except ConnectionClosed as closed:
            lost = closed
        except asyncio.CancelledError:
            lost = ConnectionClosed(1000, "the client closed it")
            raise
        finally:
            self._end(lost)

    async def _through(self, session: Session) -> ConnectionClosed:
        """Take what comes in a session until it ends; why it did."""
        speaking = asyncio.create_task(self._take_up(session))
        reading = asyncio.create_task(self._read(session))
        opened = self._backoff.clock() if self._backoff else 0.0
        try:
            await asyncio.wait([speaking, reading], return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                speaking.result()  # a session that nobody speaks in must not go on
            error = await reading
            self._count_from_zero_after(opened)
            if isinstance(error, ConnectionClosed):
                return error
            await session.close(1002, "the server broke the protocol")
            return self._left(error)
        finally:
            self._session = None
            speaking.cancel()
            reading.cancel()
            await asyncio.wait([speaking, reading])
            await session.close()

    async def _read(self, session: Session) -> LivethreadError:
        """Take what comes until nothing more does, or what came cannot be taken; which of them."""
        try:
            while True:
                self._take(await session.receive())
        except LivethreadError as error:
            return error

    def _count_from_zero_after(self, opened: float) -> None:
        if self._backoff and self._backoff.clock() - opened >= STEADY_SECONDS:
            self._tries = self._broken = 0

    def _left(self, error: LivethreadError) -> ConnectionClosed:
        """The server broke the protocol. What is missing may come in another session; a server that never gets it
        right is left for good.
        """
        self._broken += 1
        returning = self._backoff is not None and self._broken <= MENDS
        return ConnectionClosed(1006 if returning else 1002, str(error))

    async def _take_up(self, session: Session) -> None:
        """Say what a new session begins with; then everybody speaks for himself."""
        if self._session is session:
            return
        try:
            for command in self._owner.returning():
                await session.room(AT_ONCE)
                await session.send(Call(command))
            while (call := next((one for one in self._calls if one.session is not session), None)) is not None:
                call.late = True
                await session.room(AT_ONCE)
                await self._say_late(session, call)
        except ConnectionClosed:
            return  # whoever reads the session sees it too
        self._session = session

    async def _say_late(self, session: Session, call: Call) -> None:
        try:
            await session.send(call)
        except ConnectionClosed:
            raise
        except Exception as error:  # what it holds was changed after it was proven: that is for who asked, alone
            call.fail(error)

    async def _again(self, error: ConnectionClosed) -> Session:
        """The next session. `ConnectionClosed` where there is none."""
        # A token that has expired ends a session; whoever can bring a fresh one tries once.
        renewing = error.code == CloseCode.UNAUTHORIZED and self._renews
        while True:
            returning = may_return(error.code) or renewing
            if self._backoff is None or not returning or self._backoff.ends(self._tries):
                raise error
            renewing = False
            seconds = self._backoff.seconds(self._tries)
            self.states.set(ClientState("waiting", seconds, self._tries, error.reason or str(error)))
            await self._backoff.sleep(seconds)
            self._tries += 1
            self.states.set(ClientState("connecting", 0.0, self._tries, error.reason or str(error)))
            try:
                return await self._open()
            except ConnectError as failed:
                error = ConnectionClosed(1006, str(failed))
            except ConnectionClosed as failed:
                error = failed
            except CommandError as refused:
                error = ConnectionClosed(CloseCode.RATE if refused.retryable else CloseCode.UNAUTHORIZED, str(refused))
            except LivethreadError as failed:
                error = self._left(failed)

    async def _open(self) -> Session:
        hello = await self._hello()
        session = await self._open_session()
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                self.hello = await session.greet(hello)
        except TimeoutError:
            await session.close()
            raise ConnectError(f"The server did not answer a hello within {HELLO_SECONDS:g} seconds.") from None
        except BaseException:
            await session.close()
            raise
        self._newest = session
        self.states.set(ClientState("open"))
        return session

    def _take(self, message: Answered | Event | TaskEvent | None) -> None:
        if isinstance(message, Answered):
            self._owner.settle(message.call.command, message.outcome)
            message.call.settle(message.outcome)
        elif message is not None:
            self._owner.take(message)

    def _end(self, error: ConnectionClosed) -> None:
        self._lost = error
        for call in self._calls:
            call.settle(ConnectionClosed(error.code, error.reason))
        self._owner.lose(error)
        self.states.set(ClientState("closed", 0.0, self._tries, str(error)))


def _loading(outcome: Outcome) -> bool:
    return isinstance(outcome, CommandError) and outcome.code is ErrorCode.MODEL_LOADING
