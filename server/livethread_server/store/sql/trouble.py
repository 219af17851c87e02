"""What PostgreSQL, or the way to it, gave as an error: what it means for a transaction, and what to say.

The codes are its SQLSTATEs (its manual, Appendix A). This module must never know what was being done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from livethread_server.store.base import Unusable

_UNDONE = ("40001", "40P01")
"""Serialization failure and deadlock: PostgreSQL has undone the transaction, and says to begin it again."""
_LOST = ("08", "57P01", "57P02")
"""The beginnings of codes that say that the connection is lost, or just being ended by PostgreSQL."""
_REMEDIES = {
    "40": "Others change the same rows without end: repeat the command.",
    "28": "Check user and password in --store, and what PostgreSQL's pg_hba.conf lets in.",
    "3D": "Create it with PostgreSQL's createdb, with the encoding UTF8.",
    "25006": "It may only be read: name the server that is written to.",
    "42501": "Let the user create tables in it: make him its owner, or grant him CREATE on its schema.",
    "53300": "Raise PostgreSQL's max_connections or lower --store-connections.",
    "53": "Give PostgreSQL's machine more room.",
    "57P": "PostgreSQL is being stopped or started. Try again in a moment.",
    "08": "Make sure that PostgreSQL runs there and can be reached.",
}
"""By the beginnings of codes; the first that fits holds."""


def is_undone(error: Exception) -> bool:
    """Whether PostgreSQL itself has undone the transaction, so that it may be begun again."""
    return _code(error) in _UNDONE


def is_again(error: DBAPIError) -> bool:
    """Whether a transaction of which nothing was kept may be begun again."""
    return error.connection_invalidated or _code(error).startswith((*_UNDONE, *_LOST))


@contextmanager
def telling(place: str) -> Iterator[None]:
    """Whatever the database or the way to it raises becomes `Unusable`, with what to do and nothing of what was to be
    stored: of PostgreSQL's words the details hold rows."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason, remedy = _said(error)
        raise Unusable(f"The database {place!r} cannot be used: {reason}. {remedy}") from None


def _said(error: SQLAlchemyError | OSError) -> tuple[str, str]:
    if isinstance(error, PoolTimeout):
        return (
            "all connections to it are in use",
            "Give more with --store-connections, or see what PostgreSQL waits for.",
        )
    if isinstance(error, TimeoutError):
        return "it does not answer", "Make sure that PostgreSQL runs there and can be reached."
    if not isinstance(error, DBAPIError):
        return str(error).splitlines()[0].rstrip("."), _REMEDIES["08"]
    code = _code(error) or "08"
    remedy = next((sentence for start, sentence in _REMEDIES.items() if code.startswith(start)), "")
    return _words(error), remedy or "Check that it is one of livethread's."


def _code(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _words(error: DBAPIError) -> str:
    orig = error.orig
    cause = None if orig is None else orig.__cause__
    return str((cause or orig or error).args[0]).splitlines()[0].rstrip(".")
