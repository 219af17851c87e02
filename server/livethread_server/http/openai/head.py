"""What every answer to one request begins with.

It must never know what is answered.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Head(Struct, frozen=True):
    """The fields that all chunks of one answer share. ``created`` is in Unix seconds; ``model`` is the name that it was
    asked for by."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    def json(self, kind: str) -> bytes:
        """The beginning of a JSON object of a ``kind``, up to its choices."""
        return msgspec.json.encode({"id": self.id, "object": kind} | msgspec.structs.asdict(self))[:-1]
