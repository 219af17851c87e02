"""How a client wants to be answered: at once, as events, or once it is over; and which request is the same again.

It must never know what is asked for.
"""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request

from livethread.errors import bad_request
from livethread_server.http.operation import Header
from livethread_server.http.sse import EVENT_STREAM

KEY_CHARACTERS = 256
"""The longest ``Idempotency-Key``, as the wire's ``key``."""

PREFER = Header("Prefer", "``respond-async`` answers 202 at once (RFC 7240).")
ACCEPT = Header("Accept", "``text/event-stream`` asks for server-sent events.")
IDEMPOTENCY_KEY = Header("Idempotency-Key", "The same key with the same content is the same request.")
PREFERENCE_APPLIED = Header("Preference-Applied", "``respond-async`` where that was done.")
LOCATION = Header("Location", "Where it can be asked for.")

Answering = Literal["wait", "async", "stream"]


def answering(request: Request, stream: bool) -> Answering:
    """How the client wants to be answered; ``stream`` is what its query says."""
    if stream or _accepts_events(request):
        return "stream"
    asked = ",".join(request.headers.getlist("prefer")).lower()
    preferences = {one.partition(";")[0].strip() for one in asked.split(",")}
    return "async" if "respond-async" in preferences else "wait"


def idempotency_key(request: Request) -> str | None:
    """The key of a request. `CommandError` ``bad_request`` where it has several, or a wrong one."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not 1 <= len(keys[0]) <= KEY_CHARACTERS:
        raise bad_request(
            "Idempotency-Key", f"Send one Idempotency-Key of 1 to {KEY_CHARACTERS} characters, or none of them."
        )
    return keys[0]


def _accepts_events(request: Request) -> bool:
    accepted = ",".join(request.headers.getlist("accept")).lower()
    return any(one.partition(";")[0].strip() == EVENT_STREAM for one in accepted.split(","))
