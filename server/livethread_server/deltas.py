"""Deltas of a run put together: one that says what several said.

It must never know who reads them or when.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from livethread.messages import RunDelta
from livethread.model import TokenLogprob


def touch(first: RunDelta, second: RunDelta) -> bool:
    """Whether ``second`` goes on exactly where ``first`` ends."""
    return first.run == second.run and first.to == second.start


def joined(deltas: Sequence[RunDelta]) -> RunDelta:
    """One delta for several that touch."""
    if len(deltas) == 1:
        return deltas[0]
    first, last = deltas[0], deltas[-1]
    text = "".join(delta.text for delta in deltas)
    return RunDelta(
        thread=first.thread, run=first.run, start=first.start, to=last.to, text=text, logprobs=_logprobs(deltas)
    )


def _logprobs(deltas: Sequence[RunDelta]) -> tuple[TokenLogprob, ...] | UnsetType:
    """Those of all deltas; none where one lacks them, since each token has to have its own."""
    parts = [delta.logprobs for delta in deltas if not isinstance(delta.logprobs, UnsetType)]
    return tuple(one for part in parts for one in part) if len(parts) == len(deltas) else UNSET
