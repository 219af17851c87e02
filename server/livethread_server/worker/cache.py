"""Which sequence a run gets, whose KV it begins with, and where running sequences should lie.

The longest common token prefix decides, whoever of the same tenant holds it. This module must never know
llama.cpp: whether a sequence can be cut where is asked of a function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from collections.abc import Sequence as Tokens

from msgspec import Struct

from livethread_server.worker.run import Run
from livethread_server.worker.sequence import Sequence

WORTH = 32
"""Tokens that a copy must save, at least, over what the thread's own sequence holds."""
WAIT = 128
"""Tokens that waiting for somebody else's prompt must save, at least."""

RESERVED = 2
"""Tokens of a prompt that are always computed: a prompt chunk has two at least (FACTS A9)."""

CanKeep = Callable[[int, int], bool]
"""Whether the first n tokens (second) of a sequence id (first) are whole and may be kept by themselves."""


class Place(Struct, frozen=True):
    """Take ``target`` and keep its first ``reuse`` tokens, or copy them there from ``source``."""

    target: Sequence
    reuse: int
    source: Sequence | None = None


def place(
    sequences: Iterable[Sequence],
    *,
    thread: str,
    tenant: str,
    tokens: Tokens[int],
    can_keep: CanKeep,
    pinned: Collection[str] = (),
    may_give_up: Callable[[Sequence], bool] = lambda _: True,
) -> Place | None:
    """Choose for a run of ``thread`` that continues ``tokens``; None while every sequence is in use.

    Of other threads' sequences only those may be taken that ``may_give_up`` allows, those of ``pinned`` threads last.
    """
    every = list(sequences)
    target = _target(every, thread, tokens, pinned, may_give_up)
    if target is None:
        return None
    limit = most_reusable(tokens)
    held = {
        each.id: _reusable(each, tokens, limit, can_keep, in_place=each is target)
        for each in every
        if each.tenant in (tenant, None)
    }
    own = held.get(target.id, 0)
    best = max((each for each in every if each.id in held), key=lambda each: held[each.id], default=target)
    if best is target or held[best.id] < own + WORTH:
        return Place(target, own)
    return Place(target, held[best.id], best)


def most_reusable(tokens: Tokens[int]) -> int:
    """How many of a prompt's tokens may be reused: the chunk that is left has two."""
    return max(0, len(tokens) - RESERVED)


def upcoming(running: Iterable[Sequence], *, tenant: str, tokens: Tokens[int], held: int) -> tuple[Run, int] | None:
    """Whose prompt that is not wholly in KV begins as ``tokens`` do, `WAIT` tokens further at least than the ``held``
    ones; and how far. None where it is not worth to wait for anybody.
    """
    limit = most_reusable(tokens)
    common = [
        (each.run, each.coming(tokens, limit))
        for each in running
        if each.run is not None and each.run.ingesting and each.tenant == tenant
    ]
    best = max(common, key=lambda each: each[1], default=None)
    return best if best is not None and best[1] >= held + WAIT else None


def _target(
    every: list[Sequence],
    thread: str,
    tokens: Tokens[int],
    pinned: Collection[str],
    may_give_up: Callable[[Sequence], bool],
) -> Sequence | None:
    own = [each for each in every if each.idle and each.thread == thread]
    if own:
        return max(own, key=lambda each: each.common(tokens, len(tokens)))
    return free(every) or victim((each for each in every if may_give_up(each)), pinned)


def free(every: Iterable[Sequence]) -> Sequence | None:
    """A sequence that nobody holds, next to the running ones if there is one; None where all are taken."""
    every = list(every)
    running = [each.id for each in every if not each.idle]
    empty = [each for each in every if each.idle and each.thread is None]
    return min(empty, key=lambda each: (_distance(each.id, running), each.id), default=None)


def victim(every: Iterable[Sequence], pinned: Collection[str] = ()) -> Sequence | None:
    """The idle thread's sequence that was used least recently, pinned ones last; None where there is none."""
    held = [each for each in every if each.idle and each.thread is not None]
    return min(held, key=lambda each: (each.thread in pinned, each.used), default=None)


def _distance(number: int, running: list[int]) -> int:
    return min((abs(number - other) for other in running), default=0)


def _reusable(sequence: Sequence, tokens: Tokens[int], limit: int, can_keep: CanKeep, *, in_place: bool) -> int:
    common = sequence.common(tokens, limit)
    if common and can_keep(sequence.id, common):
        return common
    return max((length for length in sequence.marks if in_place and length <= common), default=0)


def misplaced(running: Iterable[int], total: int) -> tuple[int, int] | None:
    """A running id and the id it should be exchanged with, so that running ones come to lie side by side.

    None where they do. The window with most running ids in it is kept, so that the fewest move.
    """
    ids = sorted(running)
    if not ids or ids[-1] - ids[0] == len(ids) - 1:
        return None
    taken = set(ids)
    starts = range(total - len(ids) + 1)
    start = max(starts, key=lambda start: len(taken.intersection(range(start, start + len(ids)))))
    window = range(start, start + len(ids))
    outside = next(each for each in ids if each not in window)
    return outside, next(each for each in window if each not in taken)
