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
SIBLING = 8
"""The same, and as `WORTH`, between the runs of one task, which begin with the same prompt."""

RESERVED = 2
"""Tokens of a prompt that are always computed: a prompt chunk has two at least (FACTS A9)."""

CanKeep = Callable[[int, int], bool]
"""Whether the first n tokens (second) of a sequence id (first) are whole and may be kept by themselves."""


class Quota(Struct, frozen=True):
    """How many sequences threads may hold at once, and how many tasks: neither takes what the other may."""

    threads: int
    tasks: int

    def of(self, side: bool) -> int:
        """The part of one kind."""
        return self.tasks if side else self.threads


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
    side: bool = False,
    quota: Quota | None = None,
) -> Place | None:
    """Choose for a run of ``thread`` that continues ``tokens``; None while every sequence is in use.

    Of other threads' sequences only those may be taken that ``may_give_up`` allows, those of ``pinned`` threads last.
    A task's run, ``side``, takes over what an earlier task left where that begins as it does; of ``quota`` each kind
    keeps to its part, and takes nothing from the other but copies.
    """
    every = list(sequences)
    if side:
        target = _side_target(every, tenant, tokens, (quota or Quota(0, len(every))).tasks)
    else:
        target = _target(every, thread, tokens, pinned, may_give_up, (quota or Quota(len(every), 0)).threads)
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
    worth = SIBLING if side and best.thread == thread else WORTH
    if best is target or held[best.id] < own + worth:
        return Place(target, own)
    return Place(target, held[best.id], best)


def most_reusable(tokens: Tokens[int]) -> int:
    """How many of a prompt's tokens may be reused: the chunk that is left has two."""
    return max(0, len(tokens) - RESERVED)


def upcoming(
    running: Iterable[Sequence], *, tenant: str, tokens: Tokens[int], held: int, worth: int = WAIT
) -> tuple[Run, int] | None:
    """Whose prompt that is not wholly in KV begins as ``tokens`` do, ``worth`` tokens further at least than the
    ``held`` ones; and how far. None where it is not worth to wait for anybody.
    """
    limit = most_reusable(tokens)
    common = [
        (each.run, each.coming(tokens, limit))
        for each in running
        if each.run is not None and each.run.ingesting and each.tenant == tenant
    ]
    best = max(common, key=lambda each: each[1], default=None)
    return best if best is not None and best[1] >= held + worth else None


def _target(
    every: list[Sequence],
    thread: str,
    tokens: Tokens[int],
    pinned: Collection[str],
    may_give_up: Callable[[Sequence], bool],
    most: int,
) -> Sequence | None:
    own = [each for each in every if each.idle and each.thread == thread]
    if own:
        return max(own, key=lambda each: each.common(tokens, len(tokens)))
    held = [each for each in every if not each.free and not each.side]
    fresh = free(every) if len(held) < most else None
    return fresh or victim((each for each in held if may_give_up(each)), pinned)


def _side_target(every: list[Sequence], tenant: str, tokens: Tokens[int], most: int) -> Sequence | None:
    """What an earlier task left, where that goes on here for the greater part; else a free one, or the oldest left."""
    held = [each for each in every if not each.free and each.side]
    left = [each for each in held if each.idle and each.tenant == tenant]
    best = max(left, key=lambda each: each.common(tokens, len(tokens)), default=None)
    if best is not None and 2 * best.common(tokens, len(tokens)) >= best.in_kv > 0:
        return best
    fresh = free(every) if len(held) < most else None
    return fresh or victim(held)


def free(every: Iterable[Sequence]) -> Sequence | None:
    """A sequence that nobody holds, next to the running ones if there is one; None where all are taken."""
    every = list(every)
    running = [each.id for each in every if not each.idle]
    empty = [each for each in every if each.idle and each.thread is None]
    return min(empty, key=lambda each: (_distance(each.id, running), each.id), default=None)


def victim(every: Iterable[Sequence], pinned: Collection[str] = ()) -> Sequence | None:
    """The idle sequence that was used least recently, tasks' ones first and pinned threads' last; None where there is
    none.
    """
    held = [each for each in every if each.idle and each.thread is not None]
    return min(held, key=lambda each: (each.thread in pinned, not each.side, each.used), default=None)


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
