"""Which sequence a run gets, whose KV it begins with, and where running sequences should lie.

The longest common token prefix decides, whoever of the same tenant holds it. This module must never know
llama.cpp: whether a sequence can be cut where is asked of a function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from collections.abc import Sequence as Tokens

from msgspec import Struct

from livethread_server.engine.wire import is_side
from livethread_server.worker.run import Run
from livethread_server.worker.sequence import Sequence

WORTH = 32
"""Tokens that a copy must save, at least, over what the thread's own sequence holds."""
SIDE_WORTH = 16
"""The same for a task's run, and what its waiting for another of the same task must save. Tokens that may be lost where
it goes on in the sequence of a task before.
"""
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

    @property
    def goes_on(self) -> bool:
        """Whether nearly nothing is lost of what the target holds: a task's run takes up where one before it ended."""
        return self.source is None and self.target.side and self.target.in_kv - self.reuse <= SIDE_WORTH


def worth(thread: str) -> int:
    """Tokens that a copy for a run of this thread must save, at least."""
    return SIDE_WORTH if is_side(thread) else WORTH


def place(
    sequences: Iterable[Sequence],
    *,
    thread: str,
    tenant: str,
    tokens: Tokens[int],
    can_keep: CanKeep,
    pinned: Collection[str] = (),
    may_give_up: Callable[[Sequence], bool] = lambda _: True,
    tasks: int = 0,
) -> Place | None:
    """Choose for a run of ``thread`` that continues ``tokens``; None while every sequence that it may have is in use.

    Of other threads' sequences only those may be taken that ``may_give_up`` allows, those of ``pinned`` threads last.
    Tasks hold ``tasks`` sequences at most, threads the others: neither takes the other's, but both may copy from it.
    """
    every = list(sequences)
    limit = most_reusable(tokens)
    side = is_side(thread)
    kin = [each for each in every if each.held and each.side == side]
    target = _own(kin, thread, tokens)
    if target is None and side:
        resent = [each for each in kin if each.idle and each.tenant == tenant]
        target = _gone_on(resent, lambda each: _reusable(each, tokens, limit, can_keep, in_place=True))
    if target is None and len(kin) < (tasks if side else len(every) - tasks):
        target = free(every)
    target = target or victim((each for each in kin if may_give_up(each)), pinned, side=side)
    if target is None:
        return None
    held = {
        each.id: _reusable(each, tokens, limit, can_keep, in_place=each is target)
        for each in every
        if each.tenant in (tenant, None)
    }
    own = held.get(target.id, 0)
    best = max((each for each in every if each.id in held), key=lambda each: held[each.id], default=target)
    if best is target or held[best.id] < own + worth(thread):
        return Place(target, own)
    return Place(target, held[best.id], best)


def most_reusable(tokens: Tokens[int]) -> int:
    """How many of a prompt's tokens may be reused: the chunk that is left has two."""
    return max(0, len(tokens) - RESERVED)


def upcoming(
    running: Iterable[Sequence], *, thread: str, tenant: str, tokens: Tokens[int], held: int
) -> tuple[Run, int] | None:
    """Whose prompt that is not wholly in KV begins as ``tokens`` do, `WAIT` tokens further at least than the ``held``
    ones, of the same task `SIDE_WORTH`; and how far. None where it is not worth to wait for anybody.
    """
    limit = most_reusable(tokens)
    common = [
        (each.run, each.coming(tokens, limit), SIDE_WORTH if each.side and each.thread == thread else WAIT)
        for each in running
        if each.run is not None and each.run.ingesting and each.tenant == tenant
    ]
    worthy = [(run, until) for run, until, least in common if until >= held + least]
    return max(worthy, key=lambda each: each[1], default=None)


def _own(kin: list[Sequence], thread: str, tokens: Tokens[int]) -> Sequence | None:
    """The idle sequence of the thread that holds most of the tokens."""
    own = [each for each in kin if each.idle and each.thread == thread]
    return max(own, key=lambda each: each.common(tokens, len(tokens)), default=None)


def _gone_on(resent: list[Sequence], reusable: Callable[[Sequence], int]) -> Sequence | None:
    """A task's idle sequence of which a new run keeps most and loses nearly nothing: its own history comes back."""
    best = max(resent, key=reusable, default=None)
    if best is None or reusable(best) < SIDE_WORTH:
        return None
    return best if Place(best, reusable(best)).goes_on else None


def free(every: Iterable[Sequence]) -> Sequence | None:
    """A sequence that nobody holds, next to the running ones if there is one; None where all are taken."""
    every = list(every)
    running = [each.id for each in every if not each.idle]
    empty = [each for each in every if each.idle and each.thread is None]
    return min(empty, key=lambda each: (_distance(each.id, running), each.id), default=None)


def victim(every: Iterable[Sequence], pinned: Collection[str] = (), *, side: bool = False) -> Sequence | None:
    """The idle thread's sequence that was used least recently, pinned ones last; None where there is none. Where
    tasks' are among them, and it is for a task (``side``), theirs are first, else last.
    """
    held = [each for each in every if each.idle and each.thread is not None]
    return min(held, key=lambda each: (each.side != side, each.thread in pinned, each.used), default=None)


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
