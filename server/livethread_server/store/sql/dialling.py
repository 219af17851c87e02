"""How a PostgreSQL server is reached: what of its URL goes where, and what every connection has in common.

This module must never know what the connections are for.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from livethread_server.store.base import Unusable

CONNECT_SECONDS = 10.0
"""How long PostgreSQL may take to let us in, unless ``?timeout=`` says."""
ANSWER_SECONDS = 30.0
"""How long it may take for one statement, unless ``?command_timeout=`` says."""
KEEPALIVE = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
"""So that PostgreSQL notices within a minute that the machine of a server is gone, and lets go of what that held."""
_SECONDS = {"timeout": CONNECT_SECONDS, "command_timeout": ANSWER_SECONDS}
_KNOWN = ("host", "port", "ssl", "sslmode", *_SECONDS)


class Dialling:
    """How one database is reached. ``place`` names it in sentences, without user and password.

    `Unusable` where the URL names no database or asks for what we do not know.
    """

    def __init__(self, url: URL) -> None:
        self.place = _shown(url)
        unknown = [name for name in url.query if name not in _KNOWN]
        if not url.database or unknown:
            wrong = f"has an unknown field {unknown[0]!r}" if unknown else "names no database"
            raise Unusable(
                f"The URL of {self.place!r} {wrong}. Use one such as 'postgresql://user:password@host/database', "
                f"with no other fields behind it than {', '.join(_KNOWN)}."
            )
        query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
        self._seconds = {name: self._number(name, query.pop(name, default)) for name, default in _SECONDS.items()}
        self._url = url.set(drivername="postgresql+asyncpg", query=query)

    def engine(self, *, patient: bool = False, **pool: Any) -> AsyncEngine:
        """Connections, none open yet; ``pool`` is as `sqlalchemy.create_engine` takes it. Patient ones wait for answers
        as long as it takes."""
        seconds = self._seconds | ({"command_timeout": None} if patient else {})
        settings = {"application_name": "livethread", **KEEPALIVE}
        # Errors are logged, and no log holds a message's text.
        return create_async_engine(
            self._url, hide_parameters=True, connect_args={**seconds, "server_settings": settings}, **pool
        )

    def _number(self, name: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = 0.0
        if not 0 < number < float("inf"):
            raise Unusable(f"The URL of {self.place!r} has {name}={value}. Give it seconds above 0.")
        return number


def _shown(url: URL) -> str:
    where = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database, query=where).render_as_string()
