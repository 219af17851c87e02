"""What an answer needs of the connection that it is written to.

It must never know what is asked or answered.
"""

from __future__ import annotations

from typing import Any, Protocol

from starlette.types import Receive, Scope


class Connection(Protocol):
    """A connection, as `sockets` puts it into the scope's state. Nothing here waits."""

    def take(self) -> bool:
        """Whether one more request may be answered now."""

    def lift(self) -> None:
        """The request was read, and its answer takes as long as it takes."""

    def abort(self) -> None:
        """Cut off."""


class Unbounded:
    """A connection that nobody looks after, where another server than ours reads the requests."""

    def take(self) -> bool:
        """Whatever may be asked."""
        return True

    def lift(self) -> None:
        """There is no deadline."""

    def abort(self) -> None:
        """It ends when the client likes."""


def connection_of(scope: Scope) -> Connection:
    """The connection that a request came on."""
    found: Any = scope.get("state", {}).get("connection")
    connection: Connection = Unbounded() if found is None else found
    return connection


async def gone(receive: Receive) -> None:
    """Return when the client has gone, whatever it still sends; to be called once its request was read."""
    while (await receive())["type"] != "http.disconnect":
        pass
