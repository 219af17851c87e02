"""The exceptions of livethread, the codes that travel and the codes that close.

```
LivethreadError
├── CommandError        a command was refused: code, sentence, details; the session goes on
├── FrameError          a frame that cannot be read at all: the connection ends with 4501
├── ProtocolError       the peer broke the rules of the conversation, such as a second reply
├── RunFailed           a run ended with an error: run, code, sentence
├── TaskStopped         a task was cancelled, or its time was over: task, reason
├── FellBehind          a reader of events took them too slowly and lost some
├── TextReplaced        text that was given of a run is not its text any more: run, text
├── ConnectError        there is no livethread server to talk to at this address
└── ConnectionClosed    the connection ended: close code and reason
```

This module must never know how messages look or how they travel.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Why a command was refused. It answers the command; the session goes on."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    EXISTS = "exists"
    VERSION_CONFLICT = "version_conflict"
    BUSY = "busy"
    QUEUE_FULL = "queue_full"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    CONTEXT_OVERFLOW = "context_overflow"
    MODEL_LOADING = "model_loading"
    MODEL_UNAVAILABLE = "model_unavailable"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later without being changed."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.BUSY,
        ErrorCode.QUEUE_FULL,
        ErrorCode.RATE_LIMITED,
        ErrorCode.MODEL_LOADING,
        ErrorCode.MODEL_UNAVAILABLE,
    }
)


class CloseCode(IntEnum):
    """Why a connection was closed. 4000–4499 mean "come back", 4500–4999 mean "do not"."""

    NORMAL = 1000
    GOING_AWAY = 1001
    MESSAGE_TOO_BIG = 1009
    SHUTDOWN = 4001
    SLOW = 4008
    NO_PONG = 4012
    RATE = 4013
    UNAUTHORIZED = 4500
    UNDECODABLE = 4501
    NO_HELLO = 4502
    TOO_MANY_SESSIONS = 4504
    FORBIDDEN = 4507

    @property
    def may_return(self) -> bool:
        """Whether a client should connect again after this close."""
        return self < 4500


class LivethreadError(Exception):
    """The root of everything this project raises on purpose."""


class CommandError(LivethreadError):
    """A command was refused.

    ``message`` is a full sentence that names the value and the remedy; ``details`` holds what a program
    needs to react, such as ``field``, ``version`` or ``context_tokens``.
    """

    def __init__(self, code: ErrorCode, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later without being changed."""
        return self.code.retryable

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def bad_request(name: str, sentence: str) -> CommandError:
    """A ``bad_request`` about one field."""
    return CommandError(ErrorCode.BAD_REQUEST, sentence, field=name)


class FrameError(LivethreadError):
    """A frame that is not a map of the agreed encoding with an integer id: close 4501."""


class ProtocolError(LivethreadError):
    """The peer broke the rules of the conversation."""


class RunFailed(LivethreadError):  # noqa: N818 - the name says what happened
    """A run ended with reason ``error``; ``code`` is an `ErrorCode` as far as this version knows it."""

    def __init__(self, run: str, code: str, message: str) -> None:
        super().__init__(f"run {run} failed, {code}: {message}")
        self.run = run
        self.code = code
        self.message = message


class TaskStopped(LivethreadError):  # noqa: N818
    """A task ended without a result; ``reason`` is ``cancelled`` or ``timeout``."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(f"task {task} has no result: {reason}")
        self.task = task
        self.reason = reason


class FellBehind(LivethreadError):  # noqa: N818
    """Events came faster than this reader took them; the client's copy of the thread is still right."""


class TextReplaced(LivethreadError):  # noqa: N818
    """The server was restarted, and the run came out differently from where its text had been kept.

    ``text`` is what stands instead of all that was given before.
    """

    def __init__(self, run: str, text: str) -> None:
        super().__init__(f"the text of run {run} is another now, since the server was restarted")
        self.run = run
        self.text = text


class ConnectError(LivethreadError):
    """No connection came about: nothing listens there, or it is not a livethread server."""


class ConnectionClosed(LivethreadError):  # noqa: N818 - the name says what happened, as in websockets
    """The connection ended; ``code`` is the close code, ``reason`` the peer's words."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the connection was closed with code {code}{': ' + reason if reason else ''}")
        self.code = code
        self.reason = reason
