"""Text columns of PostgreSQL: they hold NUL characters, and sort by their bytes.

This module must never know which columns there are.
"""

from __future__ import annotations

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator


class Name(TypeDecorator[str]):
    """Any text without lone surrogates, compared by code points whatever language the database is set to.

    PostgreSQL refuses U+0000 in text (its manual, "Character Types"). It is kept as U+0001 U+0001, and U+0001 as
    U+0001 U+0002: nothing else is kept so, and the order of texts stays what it was.
    """

    impl = Text(collation="C")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is kept."""
        if value is None or ("\0" not in value and "\1" not in value):
            return value
        return value.replace("\1", "\1\2").replace("\0", "\1\1")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it was given."""
        if value is None or "\1" not in value:
            return value
        return value.replace("\1\1", "\0").replace("\1\2", "\1")
