"""KV on its way back: the longest chain of chunks that a prompt begins with, read and joined into one state.

Reading, verifying and joining are done by OS threads that read; the loop only hands the state to llama.cpp.
This module must never know sequences or runs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from livethread_server.worker.archive import Archive
from livethread_server.worker.chains import Part
from livethread_server.worker.rows import Bytes, Frame, Shape, state_size
from livethread_server.worker.stock import Read

SPARE = 2
"""How many buffers are kept for the next fetches."""


class Fetch:
    """A state that is being read. ``count`` tokens, of which ``ram`` and ``disk`` came from there."""

    def __init__(self, tokens: bytes, scope: bytes, count: int) -> None:
        self.tokens = tokens[: 4 * count]
        self.scope = scope
        self.count = count
        self.ram = 0
        self.disk = 0
        self.failed = False
        self.unwanted = False
        self.state: Bytes | None = None
        self._left = 0

    @property
    def done(self) -> bool:
        """Whether all was read, or could not be."""
        return self._left == 0

    def begin(self, parts: int) -> None:
        """So many parts will be read."""
        self._left = parts

    def came(self, part: Part, read: Read) -> None:
        """One part was read."""
        self._left -= 1
        if read.source is None:
            self.failed = True
        elif read.source == "ram":
            self.ram += part.count
        else:
            self.disk += part.count

    def serves(self, tokens: bytes, scope: bytes, limit: int) -> bool:
        """Whether it is what somebody else wants who begins with these tokens."""
        return not self.failed and self.scope == scope and self.count <= limit and tokens.startswith(self.tokens)


class Restores:
    """Begins fetches. ``shape`` is None where memory cannot be cut: then chunks are whole states."""

    def __init__(self, archive: Archive, shape: Shape | None, streams: int) -> None:
        self._archive = archive
        self._shape = shape
        self._streams = streams
        self._spare: list[Bytes] = []

    def begin(self, tokens: bytes, scope: bytes, limit: int, worth: int) -> Fetch | None:
        """Read the longest chain that ``tokens`` (int32) begin with, where it has at least ``worth`` of them."""
        parts = self._archive.find(tokens, scope, limit)
        count = sum(part.count for part in parts)
        if not parts or count < worth:
            return None
        self._archive.touch([part.entry.head.name for part in parts])
        fetch = Fetch(tokens, scope, count)
        fetch.begin(len(parts))
        use = self._use_whole(fetch) if parts[0].entry.head.whole else self._use_rows(fetch)
        for part in parts:
            self._archive.read(part, lambda rows, part=part: use(part, rows), self._then(fetch, part))  # type: ignore[misc]
        return fetch

    def _then(self, fetch: Fetch, part: Part) -> Callable[[Read], None]:
        def then(read: Read) -> None:
            fetch.came(part, read)
            if fetch.unwanted:
                self.give_back(fetch)

        return then

    def _use_rows(self, fetch: Fetch) -> Callable[[Part, Bytes], None]:
        assert self._shape is not None
        fetch.state = self._take(state_size(self._shape, self._streams, fetch.count))
        frame = Frame(fetch.state, self._shape, streams=self._streams, stream=0, count=fetch.count)
        return lambda part, rows: frame.put(part.start, part.count, rows)

    def _use_whole(self, fetch: Fetch) -> Callable[[Part, Bytes], None]:
        def use(_: Part, rows: Bytes) -> None:
            fetch.state = rows

        return use

    def _take(self, size: int) -> Bytes:
        """A buffer of this size, one that was used before where there is one: fresh memory is slow."""
        for number, spare in enumerate(self._spare):
            if len(spare) >= size:
                return self._spare.pop(number)[:size]
        self._spare.clear()
        return np.empty(size + size // 4, np.uint8)[:size]

    def keep(self, buffer: Bytes | Exception) -> None:
        """Use a buffer for one of the next fetches."""
        if not isinstance(buffer, Exception) and len(self._spare) < SPARE:
            self._spare.append(buffer)

    def give_back(self, fetch: Fetch) -> None:
        """Nobody needs its state any more; its buffer is used again once nothing is read into it."""
        fetch.unwanted = True
        if not fetch.done:
            return
        state, fetch.state = fetch.state, None
        if self._shape is not None and state is not None:
            self.keep(state if state.base is None else state.base)
