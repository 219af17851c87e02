"""The frames on their way to one session's socket: in order, bounded, merged for a slow reader.

An outbox must never know who offers frames or how they are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livethread.codec import Codec, Frame, bytes_of
from livethread.errors import CloseCode
from livethread.messages import RunDelta
from livethread.model import FRAME_BYTES
from livethread_server.deltas import joined, touch

FULL = 0.25
"""From this part of its limit on, an outbox merges the deltas of a run instead of queueing them."""

LONGEST = FRAME_BYTES // 2
"""Bytes that a merged frame has at most; what its text takes more of once it is escaped has room behind that."""


class _Waiting:
    """A frame, or deltas that become one when it is taken."""

    __slots__ = ("_deltas", "_frame", "size")

    def __init__(self, frame: Frame, delta: RunDelta | None) -> None:
        self.size = bytes_of(frame)
        self._frame = frame
        self._deltas = [] if delta is None else [delta]

    def grow(self, frame: Frame, delta: RunDelta) -> int:
        """Take over another delta where it touches and the whole stays a frame; by how many bytes that made it longer,
        0 where it did not."""
        if not touch(self._deltas[-1], delta):
            return 0
        # Logprobs are many times as long as their text.
        added = max(1, bytes_of(frame if delta.logprobs else delta.text))
        if self.size + added > LONGEST:
            return 0
        self._deltas.append(delta)
        self.size += added
        return added

    def frame(self, codec: Codec) -> Frame:
        """What goes out."""
        return codec.encode(joined(self._deltas)) if len(self._deltas) > 1 else self._frame


class Outbox:
    """The frames waiting for one session's socket, in order and bounded.

    `offer` never waits; ``on_change`` is called whenever there is something to do for whoever writes. A reader that
    falls behind gets merged deltas; one that falls behind by more than ``limit`` bytes is given up with the next frame,
    however large or small that is: ``closed`` says with which code.
    """

    def __init__(self, codec: Codec, limit: int) -> None:
        self.codec = codec
        self.closed: tuple[CloseCode, str] | None = None
        self.on_change: Callable[[], None] = _nobody
        self._ended: asyncio.Event | None = None
        self._limit = limit
        self._waiting: list[_Waiting] = []
        self._growing: dict[str, _Waiting] = {}
        self._bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written."""
        return self._bytes

    def offer(self, frame: Frame, delta: RunDelta | None = None) -> None:
        """Queue a frame; ``delta`` is the event it holds, where that may be merged."""
        if self._bytes > self._limit:
            self.close(CloseCode.SLOW, f"more than {self._limit} bytes were waiting to be read")
        if self.closed is not None:
            return
        if not self._merge(frame, delta):
            self._queue(frame, delta)
        self.on_change()

    def close(self, code: CloseCode, reason: str) -> None:
        """Take no more frames; what waits goes out first, unless the reader was too slow."""
        if self.closed is None:
            self.closed = (code, reason)
            if code is CloseCode.SLOW:
                self._waiting.clear()
                self._growing.clear()
                self._bytes = 0
            self.on_change()
            if self._ended is not None:
                self._ended.set()

    async def ended(self) -> tuple[CloseCode, str]:
        """``closed``, once it is. For who is not its reader."""
        while self.closed is None:
            self._ended = self._ended or asyncio.Event()
            await self._ended.wait()
        return self.closed

    def pop(self, size: int) -> list[Frame]:
        """The next frames, until they make ``size`` bytes; none where none waits."""
        frames: list[Frame] = []
        taken = 0
        for waiting in self._waiting:
            if taken >= size:
                break
            frames.append(waiting.frame(self.codec))
            taken += waiting.size
        del self._waiting[: len(frames)]
        self._growing.clear()
        self._bytes -= taken
        return frames

    async def take(self) -> list[Frame]:
        """All waiting frames, as soon as there are any; empty when the outbox is closed and drained. For a reader
        without a socket."""
        while not self._waiting and self.closed is None:
            something = asyncio.Event()
            self.on_change = something.set
            await something.wait()
        return self.pop(max(1, self._bytes))

    def _merge(self, frame: Frame, delta: RunDelta | None) -> bool:
        """Whether a delta went into one of its run that waits, with nothing but other runs' deltas behind that."""
        if delta is None or self._bytes <= self._limit * FULL:
            self._growing.clear()
            return False
        waiting = self._growing.get(delta.run)
        added = 0 if waiting is None else waiting.grow(frame, delta)
        self._bytes += added
        return added > 0

    def _queue(self, frame: Frame, delta: RunDelta | None) -> None:
        waiting = _Waiting(frame, delta)
        self._waiting.append(waiting)
        self._bytes += waiting.size
        if delta is not None:
            self._growing[delta.run] = waiting


def _nobody() -> None:
    """Nobody writes."""
