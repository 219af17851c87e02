"""Who may read a thread: the one place that says so for all of a thread's readers at once.

It must never know who asks.
"""

from __future__ import annotations

from livethread.model import Thread


async def readers(thread: Thread) -> frozenset[str]:
    """The ids of all principals that may read the thread."""
    return frozenset({thread.owner})
