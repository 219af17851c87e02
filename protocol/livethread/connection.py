"""The rules of one connection, for both of its ends, without any I/O.

The server's end takes frames and gives typed commands, and turns each command's outcome into its single
reply. The client's end gives commands their ids and turns frames into typed answers and events. Feed them
frames in the order in which they came; send what they return in the order in which they returned it.
This module must never know sockets, event loops, clocks or randomness.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, structs

from livethread.codec import Codec, Frame, Plain, command_id, convert, to_command, to_event, to_reply, to_task_event
from livethread.errors import CommandError, ErrorCode, FrameError, ProtocolError, bad_request
from livethread.messages import Command, ErrorBody, Event, Hello, Reply, TaskEvent

State = Literal["greeting", "open", "closed"]


class ServerConnection:
    """The server's end: every command that comes in goes out as exactly one reply.

    Begins in ``greeting``. Where ``hello_required``, only an accepted hello opens it; otherwise the first
    command does, whatever it is. It is ``closed`` by the first frame that cannot be read.
    """

    def __init__(self, codec: Codec, *, hello_required: bool) -> None:
        self._codec = codec
        self._hello_required = hello_required
        self._state: State = "greeting"
        self._hello: int | None = None
        self._unanswered: dict[int, type[Command]] = {}

    @property
    def state(self) -> State:
        """Where the conversation is."""
        return self._state

    @property
    def unanswered(self) -> int:
        """How many commands were received and have no reply yet."""
        return len(self._unanswered)

    def receive(self, frame: Frame) -> Command | Frame:
        """Take one frame: a `Command` to carry out, or the encoded reply that refuses it.

        Answer a hello before you receive the frame behind it: until then nothing else is let in where a
        hello is required. `FrameError` where the frame cannot be read: close with 4501, no frame is
        taken any more.
        """
        if self._state == "closed":
            raise FrameError("The connection is over: a frame before this one could not be read.")
        try:
            plain = self._codec.decode(frame)
            number = command_id(plain)
        except FrameError:
            self._state = "closed"
            raise
        try:
            return self._admit(number, plain)
        except CommandError as error:
            return self._codec.encode(Reply(id=number, error=ErrorBody.of(error)))

    def reply(self, command_id: int, ok: Struct) -> Frame:
        """The reply of a command that was carried out; ``ok`` is of the command's ``Ok`` type.

        `ProtocolError` where no such command waits for a reply, or ``ok`` is of another type.
        """
        kind = self._waiting(command_id)
        if not isinstance(ok, kind.Ok):
            raise ProtocolError(f"{kind.__name__} is answered with {kind.Ok.__name__}, not {type(ok).__name__}.")
        frame = self._codec.encode(Reply(id=command_id, ok=ok))
        self._answered(command_id)
        if kind is Hello and self._state == "greeting":
            self._state = "open"
        return frame

    def refuse(self, command_id: int, error: CommandError) -> Frame:
        """The reply of a command that was refused. A refused hello changes nothing: another may follow.

        `ProtocolError` where no such command waits for a reply.
        """
        self._waiting(command_id)
        frame = self._codec.encode(Reply(id=command_id, error=ErrorBody.of(error)))
        self._answered(command_id)
        return frame

    def _admit(self, number: int, plain: Plain) -> Command:
        if number in self._unanswered:
            raise bad_request("id", f"Command {number} has no reply yet. Give every command an id of its own.")
        self._check_greeting(plain)
        command = to_command(plain)
        self._unanswered[number] = type(command)
        if isinstance(command, Hello):
            self._hello = number
        elif self._state == "greeting":
            self._state = "open"
        return command

    def _check_greeting(self, plain: Plain) -> None:
        hello = plain.get("type") == "hello"
        if hello and (self._state == "open" or self._hello is not None):
            raise bad_request("type", "Only the first command may be a hello. Open a new connection to greet again.")
        if not hello and self._state == "greeting" and self._hello_required:
            raise CommandError(
                ErrorCode.UNAUTHORIZED,
                "This server must know who you are. Send a 'hello' with your token and wait for its reply.",
            )

    def _waiting(self, number: int) -> type[Command]:
        try:
            return self._unanswered[number]
        except KeyError:
            raise ProtocolError(f"No command with the id {number} waits for a reply.") from None

    def _answered(self, number: int) -> None:
        del self._unanswered[number]
        if number == self._hello:
            self._hello = None


class Answer(Struct, frozen=True):
    """What became of a command: its ``Ok`` struct, or the `CommandError` that refused it."""

    command: Command
    outcome: Struct | CommandError


class ClientConnection:
    """The client's end: commands go out with ids of their own, answers and events come back typed."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._last_id = 0
        self._unanswered: dict[int, Command] = {}

    @property
    def unanswered(self) -> int:
        """How many commands were sent and have no reply yet."""
        return len(self._unanswered)

    def send(self, command: Command) -> tuple[int, Frame]:
        """Give a command the next id, whatever it holds now, and turn it into a frame."""
        self._last_id += 1
        numbered = structs.replace(command, id=self._last_id)
        frame = self._codec.encode(numbered)
        self._unanswered[self._last_id] = numbered
        return self._last_id, frame

    def receive(self, frame: Frame) -> Answer | Event | TaskEvent | None:
        """Take one frame; None where it is an event of a type this version does not know.

        Unknown fields are ignored. `FrameError` where the frame cannot be read, `ProtocolError` where it
        answers a command that was not sent or was answered before.
        """
        plain = self._codec.decode(frame)
        if plain.get("type") != "reply":
            return to_task_event(plain) or to_event(plain)
        reply = to_reply(plain)
        command = self._unanswered.pop(reply.id, None)
        if command is None:
            raise ProtocolError(f"The server answered command {reply.id}, which does not wait for a reply.")
        return Answer(command, _outcome(reply, command))


def _outcome(reply: Reply, command: Command) -> Struct | CommandError:
    if not isinstance(reply.error, UnsetType):
        return reply.error.as_exception()
    if reply.ok is UNSET:
        raise FrameError(f"The reply to command {reply.id} holds neither 'ok' nor 'error'.")
    return convert(reply.ok, command.Ok)
