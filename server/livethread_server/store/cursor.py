"""Where a page of threads ended, as opaque text that is safe in a URL.

Base64url without padding of the JSON array ``[updated_at, id]`` of the last thread seen. This module must
never know how threads are kept.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from livethread_server.store.base import BadCursor

Mark = tuple[str, str]
"""``updated_at`` and id of the last thread of a page."""


def to_cursor(mark: Mark) -> str:
    """Turn the end of a page into the text that continues it."""
    return urlsafe_b64encode(msgspec.json.encode(mark)).rstrip(b"=").decode()


def to_mark(cursor: str) -> Mark:
    """Turn what `to_cursor` gave out back; `BadCursor` for anything else."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        mark: Mark = msgspec.json.decode(urlsafe_b64decode(padded), type=Mark)
        given_out = to_cursor(mark) == cursor
    except (ValueError, msgspec.DecodeError, RecursionError):
        given_out = False
    if not given_out:
        raise BadCursor(
            f"The cursor {cursor[:64]!r} was not given out by this server. Send one that a list answered, or none."
        )
    return mark
