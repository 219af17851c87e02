"""New ids and times: the one place where the service meets randomness and the clock.

It must never know what is being named or dated.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_id(kind: str) -> str:
    """An id nobody can guess, such as ``m_4f0c9d2ab1e85c37``; ``kind`` is its readable beginning."""
    return f"{kind}_{secrets.token_hex(8)}"


def new_seed() -> int:
    """A seed for sampling: 0 … 2³²−2, as 2³²−1 is llama.h's LLAMA_DEFAULT_SEED, which means "random"."""
    return secrets.randbelow((1 << 32) - 1)


def now() -> str:
    """The time in RFC 3339, UTC, with microseconds, so that equal lengths sort by time."""
    return _rfc3339(datetime.now(UTC))


def at(moment: float) -> str:
    """A moment, given in Unix seconds, in the same way."""
    return _rfc3339(datetime.fromtimestamp(moment, UTC))


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_since(moment: str) -> float:
    """How long ago a `now` was, of this or an earlier start; 0 where the clock was set back since."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
