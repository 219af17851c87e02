"""What a person types, or a program pipes in, line by line.

An OS thread reads, as no event loop can wait for every kind of file; it reads nothing that nobody has asked for.
This module must never know what lines mean.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque

READ_BYTES = 1 << 16


class Lines:
    """Lines of a file, which is read as UTF-8."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._come: asyncio.Queue[bytes] = asyncio.Queue()
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._asked = self._ended = False
        threading.Thread(target=self._read, name="livethread-lines", daemon=True).start()

    async def next(self) -> str | None:
        """The next line without its end; None behind the last. A call that was cancelled loses nothing."""
        while not self._lines:
            if self._ended:
                return None
            if not self._asked:
                self._asked = True
                self._wanted.release()
            data = await self._come.get()
            self._asked = False
            self._take(data)
        return self._lines.popleft().decode(errors="replace").rstrip("\r\n")

    def _take(self, data: bytes) -> None:
        self._ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
        if self._ended and self._rest:
            self._lines.append(self._rest)

    def _read(self) -> None:
        """On the OS thread. `os.read`, not a buffered file: its lock would hold up the end of the program."""
        while True:
            self._wanted.acquire()
            try:
                data = os.read(self._file, READ_BYTES)
            except OSError:
                data = b""  # the terminal is gone, as with Ctrl-D
            try:
                self._loop.call_soon_threadsafe(self._come.put_nowait, data)
            except RuntimeError:
                return  # the loop is closed: nobody reads any more
            if not data:
                return
