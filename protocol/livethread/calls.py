"""Commands on their way: made safe to send twice, and what the answer to the second time means.

Where a connection breaks off, nobody knows whether a command that had no reply was carried out. It is sent again
in the next session. Keys and ids that the client makes up beforehand see to it that it takes effect once; what
has neither is safe to repeat, or is understood here. This module must never know sockets.
"""

from __future__ import annotations

import asyncio
import uuid

from msgspec import Struct
from msgspec.structs import replace

from livethread.errors import CommandError, ConnectionClosed, ErrorCode
from livethread.messages import (
    Command,
    Empty,
    Generate,
    Mutate,
    TaskCreate,
    ThreadCreate,
    ThreadDelete,
    ThreadFork,
    ThreadGet,
    ThreadGetOk,
    ThreadOk,
)

Outcome = Struct | CommandError


class Call:
    """A command that waits for its answer. ``session`` is the one it was last sent in. It is ``late`` where it had to
    wait for one, and ``repeated`` where it may have been carried out in one before.
    """

    def __init__(self, command: Command) -> None:
        self.command = repeatable(command)
        self.answer: asyncio.Future[Outcome | ConnectionClosed] = asyncio.get_running_loop().create_future()
        self.session: object = None
        self.late = False
        self.repeated = False

    def words(self, session: object) -> Command:
        """What to send in this session."""
        self.repeated = self.repeated or self.session is not None
        self.session = session
        return said_again(self.command) if self.repeated else self.command

    def again(self) -> Call:
        """The same command as a new call."""
        call = Call(self.command)
        call.late, call.repeated = self.late, self.repeated
        return call

    def settle(self, outcome: Outcome | ConnectionClosed) -> None:
        """This is the answer, unless nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """It cannot be sent; raised where somebody still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


def mint() -> str:
    """A fresh id or key: 128 random bits in the letters that the wire allows."""
    return uuid.uuid4().hex


def repeatable(command: Command) -> Command:
    """The command with what makes it the same command when it is sent again."""
    match command:
        case Mutate(key=None) | Generate(key=None):
            return replace(command, key=mint())
        case TaskCreate(key=None):
            return replace(command, key=mint())
        case ThreadCreate(thread=None):
            return replace(command, thread=f"t{mint()}", if_exists="get")
        case ThreadFork(new_thread=None):
            return replace(command, new_thread=f"t{mint()}")
    return command


def said_again(command: Command) -> Command:
    """How to send the command when it may have been carried out already."""
    if isinstance(command, ThreadCreate) and command.if_exists == "error":
        return replace(command, if_exists="get")
    return command


def understood(command: Command, outcome: Outcome) -> Outcome:
    """What the answer to a command that was sent again says about the command.

    A thread that is gone was deleted. A thread that exists was created, where nothing has happened to it yet.
    """
    if isinstance(command, ThreadDelete) and _refused(outcome, ErrorCode.NOT_FOUND):
        return Empty()
    if isinstance(command, ThreadCreate) and command.if_exists == "error":
        if not isinstance(outcome, ThreadOk) or outcome.thread.version == 0:
            return outcome
        sentence = f"The id {command.thread!r} is taken by another thread. Choose another."
        return CommandError(ErrorCode.EXISTS, sentence, field="thread", thread=command.thread)
    return outcome


def doubt(command: Command, outcome: Outcome) -> ThreadGet | None:
    """What to ask to understand the answer to a command that was sent again; None where it is plain."""
    if isinstance(command, ThreadFork) and command.new_thread and _refused(outcome, ErrorCode.EXISTS):
        return ThreadGet(id=0, thread=command.new_thread)
    return None


def decided(command: Command, outcome: Outcome, found: Outcome) -> Outcome:
    """What `doubt` was answered with decides: the thread that is there is the fork, or the refusal holds."""
    if isinstance(command, ThreadFork) and isinstance(found, ThreadGetOk):
        origin = found.thread.forked_from
        if origin is not None and origin.thread == command.thread and command.at in (None, origin.at):
            return ThreadOk(found.thread)
    return outcome


def _refused(outcome: Outcome, code: ErrorCode) -> bool:
    return isinstance(outcome, CommandError) and outcome.code is code
