"""The frames on their way to one session's socket: in order, bounded, merged for a slow reader.

An outbox must never know who offers frames or how they are written.
"""

from __future__ import annotations

import asyncio
from collections import deque

from livethread.codec import Codec, Frame
from livethread.errors import CloseCode
from livethread.messages import RunDelta

MERGE_BYTES = 64 << 10
"""From this many waiting bytes on, deltas of one run are merged in the outbox instead of queued."""


class Outbox:
    """The frames waiting for one session's socket, in order and bounded.

    `offer` never waits. A reader that falls behind gets merged deltas; one that falls behind by more than
    ``limit`` bytes is given up with the next frame, however large or small that is: `closed` says with which
    code.
    """

    def __init__(self, codec: Codec, limit: int) -> None:
        self.codec = codec
        self.closed: tuple[CloseCode, str] | None = None
        self._limit = limit
        self._frames: deque[tuple[Frame, RunDelta | None]] = deque()
        self._bytes = 0
        self._something = asyncio.Event()
        self._closed = asyncio.Event()

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
        if delta is not None and self._bytes > MERGE_BYTES:
            frame, delta = self._merge(frame, delta)
        self._frames.append((frame, delta))
        self._bytes += _size(frame)
        self._something.set()

    def close(self, code: CloseCode, reason: str) -> None:
        """Take no more frames; the writer sends what waits, unless the reader was too slow, and closes."""
        if self.closed is None:
            self.closed = (code, reason)
            if code is CloseCode.SLOW:
                self._frames.clear()
                self._bytes = 0
            self._something.set()
            self._closed.set()

    async def wait_closed(self) -> None:
        """Return once the outbox is closed."""
        await self._closed.wait()

    async def take(self) -> list[Frame]:
        """The waiting frames, as soon as there are any; empty when the outbox is closed and drained."""
        while not self._frames and self.closed is None:
            self._something.clear()
            await self._something.wait()
        frames = [frame for frame, _ in self._frames]
        self._frames.clear()
        self._bytes = 0
        return frames

    def _merge(self, frame: Frame, delta: RunDelta) -> tuple[Frame, RunDelta]:
        last = self._frames[-1][1] if self._frames else None
        if last is None or last.run != delta.run or last.to != delta.start:
            return frame, delta
        dropped, _ = self._frames.pop()
        self._bytes -= _size(dropped)
        merged = RunDelta(
            thread=delta.thread, run=delta.run, start=last.start, to=delta.to, text=last.text + delta.text
        )
        return self.codec.encode(merged), merged


def _size(frame: Frame) -> int:
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
