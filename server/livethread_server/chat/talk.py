"""A conversation at a terminal: lines in, replies out, one after another.

This module must never know how a screen is drawn or how a connection is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Literal

from livethread import (
    Append,
    Client,
    ClientState,
    ClientThread,
    CommandError,
    Draft,
    LivethreadError,
    Op,
    Piece,
    RunFailed,
    RunStream,
)
from livethread.calls import mint
from livethread_server.chat.lines import Lines
from livethread_server.chat.onlooker import Onlooker
from livethread_server.chat.screen import Screen

LEAVE = "Ctrl-D or /quit leaves, Ctrl-C ends a reply, /help shows what else there is."


class Talk:
    """One person at a terminal, on one thread at a time. ``do`` carries out lines that begin with a slash."""

    def __init__(
        self, client: Client, lines: Lines, screen: Screen, do: Callable[[Talk, str], Awaitable[None]]
    ) -> None:
        self.client = client
        self.screen = screen
        self.left = False
        self._lines = lines
        self._do = do
        self._thread: ClientThread | None = None
        self._looking: asyncio.Task[None] | None = None
        self._mine: set[str] = set()
        self._stream: RunStream | None = None
        self._replying: asyncio.Task[None] | None = None
        self._cancelling = False

    @property
    def thread(self) -> ClientThread:
        """The thread that is talked on."""
        assert self._thread is not None, "a thread is opened before anything is said"
        return self._thread

    async def open(self, thread: ClientThread) -> None:
        """Go to a thread: show what is in it, and from now on what happens on it. `CommandError`: stay."""
        if thread is self._thread:
            return
        await thread.attach()
        await self._leave_thread()
        self._thread = thread
        self._show_history(thread)
        self._looking = asyncio.create_task(self._look(thread))
        with suppress(CommandError):  # a server may let nobody see who is there
            await thread.presence()

    async def run(self) -> None:
        """Until the person leaves. `LivethreadError` where nothing more can come from the server."""
        typing = asyncio.create_task(self._take_lines())
        showing = asyncio.create_task(self._show_states())
        try:
            await asyncio.wait([typing, showing], return_when=asyncio.FIRST_COMPLETED)
            if typing.done():
                typing.result()
            else:
                raise LivethreadError(showing.result())
        finally:
            for task in (typing, showing, self._looking):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])

    def interrupt(self) -> None:
        """Ctrl-C: end the reply that is being written; a second one waits no longer for its end."""
        if self._replying is None or self._stream is None:
            self.screen.notice(LEAVE)
        elif self._cancelling or not self._stream.asked:
            self._replying.cancel()
        else:
            self._cancelling = True
            self._stream.abandon()

    async def say(self, text: str) -> None:
        """Append a message and show the reply to it."""
        message = mint()
        self._mine.add(message)
        await self.write(Append(Draft("user", text, message)))

    async def write(self, *ops: Op, mode: Literal["reply", "regenerate"] = "reply") -> None:
        """Change the thread, and show what the model writes then. Behind others' runs it waits."""
        self._stream = self.thread.generate(*ops, mode=mode, if_busy="enqueue")
        self._mine.add(self._stream.run)
        self._cancelling = False
        self._replying = asyncio.create_task(self._reply(self._stream))
        try:
            await asyncio.wait([self._replying])
            if self._replying.cancelled():
                self.screen.notice("(not waited for any longer)")
        finally:
            self._replying.cancel()
            self._stream = self._replying = None

    async def _reply(self, stream: RunStream) -> None:
        try:
            async with aclosing(stream.pieces()) as pieces:
                first = await anext(pieces, Piece(""))
                with self.screen.reply():
                    self.screen.piece(first)
                    async for piece in pieces:
                        self.screen.piece(piece)
        except (CommandError, RunFailed) as error:
            self.screen.error(f"{error}")
        except LivethreadError as error:
            self.screen.error(f"The reply cannot be followed any more: {error}.")
        if stream.reason not in (None, "stop", "stop_string"):
            self.screen.notice(f"({stream.reason})")

    async def _take_lines(self) -> None:
        while not self.left:
            self.screen.prompt()
            line = await self._lines.next()
            self.screen.entered()
            if line is None:
                return
            try:
                if line.startswith("/"):
                    await self._do(self, line)
                elif line.strip():
                    await self.say(line)
            except CommandError as error:
                self.screen.error(str(error))

    async def _look(self, thread: ClientThread) -> None:
        try:
            await Onlooker(thread, self.screen, self._mine).look()
        except LivethreadError as error:
            self.screen.error(f"What happens on this thread is not shown any more: {error}.")

    async def _leave_thread(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
            with suppress(CommandError):
                await self.thread.unsubscribe()

    async def _show_states(self) -> str:
        """Show when the connection is gone, and when it is back; why it has ended for good."""
        was = ClientState("open")
        async for state in self.client.states():
            if state.kind == "waiting":
                wait = f"Trying again in {state.seconds:.0f} s." if state.seconds >= 1 else "Trying again."
                if was.kind == "open" or state.seconds >= 1:
                    self.screen.notice(f"There is no connection: {state.reason.rstrip('.')}. {wait}", "yellow")
                was = state
            elif state.kind == "open" and was.kind == "waiting":
                self.screen.notice("The connection is back.", "green")
                was = state
        return self.client.state.reason

    def _show_history(self, thread: ClientThread) -> None:
        title = thread.value.title if thread.value else None
        self.screen.notice(f"Thread {title or thread.id}. To come back: livethread chat --thread {thread.id}")
        if thread.more:
            self.screen.notice("Older messages are left out.")
        me = self.client.hello.principal.id
        for message in thread.messages:
            self.screen.message(message, mine=message.by is None or message.by.id == me)
