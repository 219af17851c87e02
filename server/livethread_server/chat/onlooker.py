"""What others do on the thread, shown as it happens; and what becomes of it while the connection is gone.

This module must never know what the person here types.
"""

from __future__ import annotations

from contextlib import ExitStack

from livethread import ClientThread, Event, Message, ThreadReplaced
from livethread.messages import (
    Appended,
    AppliedOp,
    Deleted,
    Edited,
    Here,
    Inserted,
    PresenceChanged,
    RunDelta,
    RunFinished,
    RunRecovered,
    RunStarted,
    ThreadDeleted,
    ThreadMutated,
    ThreadUpdated,
    Truncated,
)
from livethread.told import Told
from livethread_server.chat.screen import Screen
from livethread_server.chat.words import one_line

LATEST = 6
"""How many messages are shown of a thread that has moved on meanwhile."""


class Onlooker:
    """Shows one thread's events. The messages and runs that are ``mine`` are shown where they are made."""

    def __init__(self, thread: ClientThread, screen: Screen, mine: set[str]) -> None:
        self._thread = thread
        self._screen = screen
        self._mine = mine
        self._sessions: set[str] = set()
        self._others: dict[str, str] = {}
        self._told: Told | None = None
        self._run = ""
        self._reply = ExitStack()

    async def look(self) -> None:
        """Until the thread is deleted."""
        try:
            async for event in self._thread.subscribe():
                self._show(event)
        finally:
            self._reply.close()

    def _show(self, event: Event) -> None:
        match event:
            case ThreadMutated():
                for op in event.ops:
                    self._show_op(op)
            case ThreadUpdated(title=str() as title):
                self._screen.notice(f"The title is {one_line(title)!r} now.")
            case ThreadDeleted():
                self._screen.notice("The thread was deleted.")
            case ThreadReplaced():
                self._show_again(event)
            case PresenceChanged():
                self._show_presence(event.here)
            case RunStarted() | RunDelta() | RunRecovered() | RunFinished() if event.run not in self._mine:
                self._show_run(event)

    def _show_op(self, op: AppliedOp) -> None:
        match op:
            case Appended(message=message) | Inserted(message=message):
                if message.id not in self._mine and message.role != "assistant":
                    self._screen.message(message, self._is_me(message))
            case Edited(message=message) if message.state == "done":
                self._screen.notice(f"A message was changed: {one_line(message.content)[:200]}")
            case Deleted():
                self._screen.notice("A message was taken out.")
            case Truncated(after=after):
                last = next((one for one in self._thread.messages if one.id == after), None)
                where = f"after {one_line(last.content)[:80]!r}" if last else "from the beginning"
                self._screen.notice(f"What came {where} was taken out.")

    def _show_run(self, event: RunStarted | RunDelta | RunRecovered | RunFinished) -> None:
        match event:
            case RunStarted():
                self._told, self._run = Told(event.run), event.run
                self._reply.enter_context(self._screen.reply())
            case RunDelta() if self._told and event.run == self._run:
                self._screen.piece(self._told.delta(event.start, event.to, event.text))
            case RunRecovered() if self._told and event.run == self._run:
                self._screen.piece(self._told.whole(event.to, event.text))
            case RunFinished():
                if self._told and event.run == self._run:
                    self._told = None
                    self._reply.close()
                else:
                    self._screen.message(event.message, mine=False)  # it began before anybody looked here

    def _show_again(self, event: ThreadReplaced) -> None:
        self._told = None
        self._reply.close()
        self._screen.notice("The thread has moved on meanwhile. Its last messages now:")
        for message in event.value.messages[-LATEST:]:
            self._screen.message(message, self._is_me(message))

    def _show_presence(self, here: tuple[Here, ...]) -> None:
        self._sessions.add(self._thread.client.hello.session)
        others = {one.session: one_line(one.name) for one in here if one.session not in self._sessions}
        for session in others.keys() - self._others.keys():
            self._screen.notice(f"{others[session]} is here.")
        for session in self._others.keys() - others.keys():
            self._screen.notice(f"{self._others[session]} has left.")
        self._others = others

    def _is_me(self, message: Message) -> bool:
        return message.by is not None and message.by.id == self._thread.client.hello.principal.id
