"""What a lifeline asks of whoever uses it. This module must never know sessions, or when they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from livethread.calls import Outcome
from livethread.errors import ConnectionClosed
from livethread.messages import Command, Event, TaskEvent


class Owner(Protocol):
    """Whoever uses a lifeline; told in the order of the connection."""

    def returning(self) -> Iterable[Command]:
        """What to say first in a new session, so that nothing that is followed is missed."""

    def take(self, event: Event | TaskEvent) -> None:
        """An event came. `ProtocolError` where it does not join on to what came before it."""

    def settle(self, command: Command, outcome: Outcome) -> None:
        """A command was answered. Errors as `take`."""

    def lose(self, error: ConnectionClosed) -> None:
        """Nothing more comes."""
