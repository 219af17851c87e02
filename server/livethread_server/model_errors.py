"""What goes wrong with model files, whoever looks for, fetches or reads them.

It must never know how.
"""

from __future__ import annotations

from livethread.errors import LivethreadError


class ModelError(LivethreadError):
    """A model cannot be used: one sentence that says why, and what to do."""


class FetchStopped(ModelError):  # noqa: N818 - nothing went wrong
    """Somebody stopped a fetch with Ctrl-C; the text says what is kept of it."""
