"""The tasks of one client that are being followed: what is told of them goes to their streams.

It must never know sockets, or what a stream makes of what it is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from livethread.calls import Outcome
from livethread.errors import CloseCode, CommandError, ConnectionClosed
from livethread.messages import TaskCreate, TaskDelta, TaskEvent, TaskUpdated
from livethread.task_stream import TaskStream


class TaskStreams:
    """Streams by their tasks' ids."""

    def __init__(self) -> None:
        self._streams: dict[str, TaskStream] = {}

    def add(self, stream: TaskStream) -> None:
        """Follow its task."""
        self._streams[stream.id] = stream

    def discard(self, stream: TaskStream) -> None:
        """It wants nothing any more."""
        self._streams.pop(stream.id, None)

    def abandon(self) -> None:
        """Nobody waits for any of them."""
        for stream in tuple(self._streams.values()):
            stream.abandon()

    def returning(self) -> Iterator[TaskCreate]:
        """What to say in a new session."""
        for stream in tuple(self._streams.values()):
            if (command := stream.returning()) is not None:
                yield command

    def take(self, event: TaskEvent) -> None:
        """Something happened to a task."""
        task = event.task.id if isinstance(event, TaskUpdated) else event.task if isinstance(event, TaskDelta) else ""
        if stream := self._streams.get(task):
            stream.take(event)

    def settle(self, command: TaskCreate, outcome: Outcome) -> None:
        """A creation was answered. `ConnectionClosed` where one that was accepted before should be tried later."""
        stream = self._streams.get(command.task or "")
        if stream is not None and stream.accepted and isinstance(outcome, CommandError):
            if outcome.retryable:
                raise ConnectionClosed(CloseCode.RATE, str(outcome))
            stream.fail(outcome)

    def lose(self, error: ConnectionClosed) -> None:
        """Nothing more comes."""
        for stream in self._streams.values():
            stream.fail(error)
