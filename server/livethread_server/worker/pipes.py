"""The worker's two ends of the pipe, each in an OS thread of its own, so that no step waits for a pipe.

This module must never know what the messages mean.
"""

from __future__ import annotations

import os
import threading
import time
from queue import Empty, SimpleQueue

from livethread_server.engine.packing import Unpacker, pack
from livethread_server.engine.wire import Configure, Moved, Output, Step, Up, merged
from livethread_server.worker.loop import Command, Told

_PIECE = 1 << 16


class PipeInbox:
    """Commands read from a file descriptor until its end. Feed it with `read` in an OS thread."""

    def __init__(self, fd: int, unpacker: Unpacker) -> None:
        self._fd = fd
        self._unpacker = unpacker
        self._queue: SimpleQueue[tuple[float, Command | None] | None] = SimpleQueue()

    def read(self) -> None:
        """Read until the other end is closed."""
        while data := os.read(self._fd, _PIECE):
            for command in self._unpacker.feed(data):
                self._queue.put((time.monotonic(), command))
        self._queue.put(None)

    def read_first(self) -> Configure | None:
        """The first message; None where the pipe ended before it. Not to be called beside `read`."""
        while data := os.read(self._fd, _PIECE):
            for first in (messages := self._unpacker.feed(data)):
                assert isinstance(first, Configure)
                for command in messages:
                    self._queue.put((time.monotonic(), command))
                return first
        return None

    def wake(self) -> None:
        """Let `take` return, though no command has come. Any OS thread may call it."""
        self._queue.put((time.monotonic(), None))

    def take(self, seconds: float | None) -> list[tuple[float, Command]] | None:
        """All commands that are there, after waiting for one so long at most; None for ever once the pipe has ended."""
        commands: list[tuple[float, Command]] = []
        try:
            item = self._queue.get(block=seconds != 0, timeout=seconds or None)
            while item is not None:
                if item[1] is not None:
                    commands.append((item[0], item[1]))
                item = self._queue.get_nowait()
        except Empty:
            return commands
        self._queue.put(None)
        return None


class Outbox:
    """Steps waiting to be written. While the pipe is full the waiting ones are merged into one.

    That bounds the memory: what waits is at most one output per run that was given to the worker. Answers are
    told behind the steps that came before them.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._outputs: dict[str, Output] = {}
        self._moved: dict[str, Moved] = {}
        self._answers: list[Up] = []
        self._stepped = False
        self._filled = threading.Condition()

    def put(self, told: Told) -> None:
        """Add a step's outcome, or an answer; never blocks."""
        with self._filled:
            if isinstance(told, Step):
                self._add(told)
            else:
                self._answers.append(told)
            self._filled.notify()

    def _add(self, step: Step) -> None:
        self._stepped = True
        for output in step.outputs:
            waiting = self._outputs.get(output.run)
            self._outputs[output.run] = merged(waiting, output) if waiting else output
        for moved in step.moved:
            self._moved.pop(moved.thread, None)
            self._moved[moved.thread] = moved

    def write(self) -> None:
        """Write steps as they come, until the other end is closed."""
        try:
            while True:
                for message in self._take():
                    self.send(message)
        except BrokenPipeError:
            return

    def send(self, message: Up) -> None:
        """Write one message, however long that takes. Raises BrokenPipeError."""
        data = memoryview(pack(message))
        while data:
            data = data[os.write(self._fd, data) :]

    def _take(self) -> list[Up]:
        with self._filled:
            self._filled.wait_for(lambda: self._stepped or self._answers)
            messages: list[Up] = [*self._answers]
            if self._stepped:
                messages.insert(0, Step(tuple(self._outputs.values()), tuple(self._moved.values())))
            self._outputs, self._moved, self._answers = {}, {}, []
            self._stepped = False
        return messages
