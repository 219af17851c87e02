"""Versions and keys as HTTP has them: ``ETag``, ``If-Match``, ``If-None-Match``, ``Idempotency-Key``, ``Prefer``.

An ETag is a thread's version, and behind dots its seq and epoch where the thread is shown: runs change what a thread
shows, but not its version, and a thread that is made anew begins at 0 again. Where its context is counts for nothing.
It must never know what an operation does.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta
from starlette.requests import Request

from livethread.errors import bad_request
from livethread.model import Thread
from livethread_server.http.operation import Header

TAG_PATTERN = r'^("v(0|[1-9][0-9]{0,14})([.][0-9]{1,16}[.][A-Za-z0-9_-]{1,64})?"|[*])$'
KEY_PATTERN = r"^[!-~]{1,256}$"
"""As long as on the wire; of what any header may hold (RFC 9110, 5.5)."""

IF_MATCH = Header(
    "If-Match",
    "The ETag that was last seen: the version, on which the change insists. '*' is any.",
    Annotated[str, Meta(pattern=TAG_PATTERN)],
)
IF_NONE_MATCH = Header("If-None-Match", "The ETag that was last seen: where nothing has changed the answer is 304.")
IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "The same key answers what it answered, for 24 hours.",
    Annotated[str, Meta(pattern=KEY_PATTERN)],
)
PREFER = Header("Prefer", "'respond-async' answers 202 once the run is accepted (RFC 7240).")
ETAG = Header("ETag", "The version of the thread.")
LOCATION = Header("Location", "Where what was made is found.")
ACCEPT = Header("Accept", "'text/event-stream' streams, as 'stream: true' does.")
APPLIED = Header("Preference-Applied", "'respond-async' where that was preferred and done.")

_TAG, _KEY = re.compile(TAG_PATTERN), re.compile(KEY_PATTERN)


def etag(version: int) -> str:
    """The ETag of a thread of which only the version is known, strong (RFC 9110, 8.8.3)."""
    return f'"v{version}"'


def whole_etag(thread: Thread) -> str:
    """The ETag of a thread as it is shown: no two that show other messages or settings have the same."""
    return f'"v{thread.version}.{thread.seq}.{thread.epoch}"'


def expected_version(request: Request) -> int | None:
    """The version of ``If-Match``; None where any will do. `CommandError` ``bad_request`` for what is no ETag of ours,
    and for a weak one, which matches nothing (RFC 9110, 13.1.1)."""
    given = request.headers.getlist("if-match")
    if not given:
        return None
    found = _TAG.search(", ".join(given).strip())
    if found is None:
        raise bad_request("If-Match", "If-Match must be one ETag that this API gave out, such as \"v12\", or '*'.")
    return None if found.group(2) is None else int(found.group(2))


def is_known(request: Request, tag: str) -> bool:
    """Whether ``If-None-Match`` names this ETag (RFC 9110, 13.1.2)."""
    given = [one.strip() for one in ",".join(request.headers.getlist("if-none-match")).split(",")]
    return given == ["*"] or tag in (one.removeprefix("W/") for one in given)


def idempotency_key(request: Request) -> str | None:
    """The request's key. `CommandError` ``bad_request`` where it is empty, too long, or there are several."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _KEY.search(given[0]):
        raise bad_request("Idempotency-Key", "Send one Idempotency-Key of 1 to 256 visible ASCII characters.")
    return given[0]


def prefers_async(request: Request) -> bool:
    """Whether an early answer is preferred (RFC 7240, 4.1)."""
    return _names(request, "prefer", "respond-async")


def accepts_events(request: Request) -> bool:
    """Whether server-sent events are asked for."""
    return _names(request, "accept", "text/event-stream")


def _names(request: Request, header: str, value: str) -> bool:
    """Whether a header that is a list has this among its values, with whatever parameters."""
    given = ",".join(request.headers.getlist(header)).lower()
    return any(one.partition(";")[0].strip() == value for one in given.split(","))
