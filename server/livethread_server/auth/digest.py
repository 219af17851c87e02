"""What is kept of a secret that was given away: enough to know it again, not enough to give it away again.

It must never know what a token opens.
"""

from __future__ import annotations

import hashlib


def digest_of(token: str) -> str:
    """SHA-256 in hex. A token is 256 random bits, so that a plain hash cannot be turned back."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
