"""Whether a client is connected, for whoever wants to show it.

This module must never know sockets or commands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from msgspec import Struct

WAITING = 64
"""How many changes may wait for a reader; of more the oldest are left out."""


class ClientState(Struct, frozen=True):
    """``waiting``: the next try to come back is in ``seconds``; ``tries`` in a row have failed. ``closed`` is the end.

    ``reason`` says why the last connection ended, or could not be made.
    """

    kind: Literal["connecting", "open", "waiting", "closed"]
    seconds: float = 0.0
    tries: int = 0
    reason: str = ""


class States:
    """The state now, and everybody who follows its changes."""

    def __init__(self) -> None:
        self.now = ClientState("connecting")
        self._readers: set[_Reader] = set()

    def set(self, state: ClientState) -> None:
        """From now on it is this; never blocks."""
        self.now = state
        for reader in self._readers:
            reader.offer(state)

    async def follow(self) -> AsyncIterator[ClientState]:
        """The state now, then every other; ends after ``closed``."""
        reader = _Reader(self.now)
        self._readers.add(reader)
        try:
            while True:
                state = await reader.next()
                yield state
                if state.kind == "closed":
                    return
        finally:
            self._readers.discard(reader)


class _Reader:
    def __init__(self, first: ClientState) -> None:
        self._states: deque[ClientState] = deque([first], maxlen=WAITING)
        self._changed = asyncio.Event()

    def offer(self, state: ClientState) -> None:
        self._states.append(state)
        self._changed.set()

    async def next(self) -> ClientState:
        while not self._states:
            self._changed.clear()
            await self._changed.wait()
        return self._states.popleft()
