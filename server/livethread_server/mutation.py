"""What ops do to the turns of a thread: pure, all or nothing.

It knows the turns before and after and how to take a change back; it must never know stores, runs,
connections or prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.messages import (
    Append,
    Appended,
    AppliedOp,
    Delete,
    Deleted,
    Draft,
    Edit,
    Edited,
    Insert,
    Inserted,
    Op,
    Truncate,
    Truncated,
)
from livethread.model import Message, Principal
from livethread_server.stamps import new_id
from livethread_server.store.base import Turn

GAP = 1 << 32
"""Distance between the positions of appended turns: room for 32 insertions at one place."""


class Restored(Struct, frozen=True):
    """A turn as it was, and the message it stood behind; None where it was the first."""

    turn: Turn
    behind: str | None


class Undo(Struct, frozen=True):
    """How to take a mutation back: ids it added or moved, and the turns it replaced, moved or removed."""

    added: tuple[str, ...] = ()
    restored: tuple[Restored, ...] = ()


class RunUndo(Struct, frozen=True):
    """How to take a ``generate`` back: ``all`` of it, or only the ``placement`` of its message."""

    all: Undo
    placement: Undo


class Mutation(Struct, frozen=True):
    """The outcome of ops: the turns afterwards, the ops as applied, and the ids they made, in order."""

    turns: tuple[Turn, ...]
    ops: tuple[AppliedOp, ...]
    made: tuple[str, ...]


def mutate(turns: Sequence[Turn], ops: Sequence[Op], by: Principal, now: str, *, field: str = "ops") -> Mutation:
    """Apply ``ops``, which came in ``field``, in order. `CommandError` where one does not fit."""
    work = _Work(turns, by, now)
    for index, op in enumerate(ops):
        work.apply(op, f"{field}[{index}]")
    return work.outcome()


def append(turns: Sequence[Turn], message: Message) -> Mutation:
    """Put a ready message at the end."""
    position = turns[-1].position + GAP if turns else GAP
    return Mutation((*turns, Turn(position, message)), (Appended(message),), (message.id,))


def replace(turns: Sequence[Turn], turn: Turn) -> Mutation:
    """Put ``turn`` in the place of the one with the same message id."""
    index = index_of(turns, turn.message.id, "message")
    return Mutation((*turns[:index], turn, *turns[index + 1 :]), (Edited(turn.message),), ())


def remove(turns: Sequence[Turn], message: str) -> Mutation:
    """Take one turn out."""
    index = index_of(turns, message, "message")
    return Mutation((*turns[:index], *turns[index + 1 :]), (Deleted(message),), ())


def undo(turns: Sequence[Turn], plan: Undo) -> Mutation:
    """Take a mutation back: what it added goes, what it replaced or removed returns to its place."""
    gone = set(plan.added) & {turn.message.id for turn in turns}
    left = [turn for turn in turns if turn.message.id not in gone]
    ops: list[AppliedOp] = [Deleted(turn.message.id) for turn in turns if turn.message.id in gone]
    ops += [_put_back(left, old) for old in plan.restored if old.turn not in left]
    return Mutation(_rising(left), tuple(ops), ())


def then(first: Mutation, second: Mutation) -> Mutation:
    """Two mutations, the second made on the outcome of the first, as one."""
    return Mutation(second.turns, first.ops + second.ops, first.made + second.made)


def plan_undo(before: Sequence[Turn], after: Sequence[Turn]) -> Undo:
    """How to get from ``after`` back to ``before``."""
    old = {turn.message.id: turn for turn in before}
    new = {turn.message.id: turn for turn in after}
    kept = {id_ for id_, turn in old.items() if id_ in new and new[id_].message is turn.message}
    stayed = kept | {id_ for id_, turn in old.items() if id_ in new and new[id_].position == turn.position}
    return Undo(
        tuple(id_ for id_ in new if id_ not in stayed),
        tuple(Restored(old[id_], behind) for id_, behind in zip(old, (None, *old), strict=False) if id_ not in kept),
    )


def changes(before: Sequence[Turn], after: Sequence[Turn]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """What a store must put and drop to get from ``before`` to ``after``."""
    old = {turn.message.id: turn for turn in before}
    kept = {turn.message.id for turn in after}
    put = tuple(turn for turn in after if old.get(turn.message.id) is not turn)
    return put, tuple(id_ for id_ in old if id_ not in kept)


def index_of(turns: Sequence[Turn], message: str, name: str) -> int:
    """Where a message stands; `CommandError` ``not_found`` naming the field ``name``."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].message.id == message:
            return index
    raise unknown_message(message, name)


def unknown_message(message: str, name: str) -> CommandError:
    """The answer where a thread has no such message as the field ``name`` names."""
    return CommandError(
        ErrorCode.NOT_FOUND,
        f"There is no message {message!r} in this thread. Read the thread again and name one of its messages.",
        field=name,
        message=message,
    )


def _put_back(turns: list[Turn], old: Restored) -> AppliedOp:
    ids = [turn.message.id for turn in turns]
    if old.turn.message.id in ids:
        turns[ids.index(old.turn.message.id)] = old.turn
        return Edited(old.turn.message)
    index = _place_of(turns, old)
    turns.insert(index, old.turn)
    if index == len(ids):
        return Appended(old.turn.message)
    return Inserted(ids[index], old.turn.message)


def _place_of(turns: Sequence[Turn], old: Restored) -> int:
    if old.behind is None:
        return 0
    for index, turn in enumerate(turns):
        if turn.message.id == old.behind:
            return index + 1
    # What it stood behind is gone itself.
    return sum(turn.position < old.turn.position for turn in turns)


def _rising(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns, with new positions where those put back and those added since stand in each other's way."""
    if all(one.position < next_.position for one, next_ in pairwise(turns)):
        return tuple(turns)
    return _spread(turns)


def _spread(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(msgspec.structs.replace(turn, position=(index + 1) * GAP) for index, turn in enumerate(turns))


class _Work:
    """The turns while ops are being applied to them."""

    def __init__(self, turns: Sequence[Turn], by: Principal, now: str) -> None:
        self._turns = list(turns)
        self._ids = {turn.message.id for turn in turns}
        self._by = by
        self._now = now
        self._ops: list[AppliedOp] = []
        self._made: list[str] = []

    def outcome(self) -> Mutation:
        return Mutation(tuple(self._turns), tuple(self._ops), tuple(self._made))

    def apply(self, op: Op, field: str) -> None:
        match op:
            case Append(message=draft):
                self._append(self._message(draft, field))
            case Insert(before=before, message=draft):
                index = index_of(self._turns, before, f"{field}.before")
                self._insert(index, self._message(draft, field))
            case Edit(message=message, content=content):
                self._edit(index_of(self._turns, message, f"{field}.message"), content)
            case Delete(message=message):
                self._cut(index_of(self._turns, message, f"{field}.message"))
                self._ops.append(Deleted(message))
            case Truncate(after=after):
                keep = 0 if after is None else index_of(self._turns, after, f"{field}.after") + 1
                self._cut(keep, len(self._turns))
                self._ops.append(Truncated(after))

    def _message(self, draft: Draft, field: str) -> Message:
        if draft.id in self._ids:
            raise CommandError(
                ErrorCode.EXISTS,
                f"The thread already has a message {draft.id!r}. Choose another id or leave it out.",
                field=f"{field}.message.id",
                message=draft.id,
            )
        message = Message(
            id=draft.id or new_id("m"),
            role=draft.role,
            content=draft.content,
            by=self._by,
            metadata=draft.metadata or {},
            created_at=self._now,
        )
        self._ids.add(message.id)
        self._made.append(message.id)
        return message

    def _append(self, message: Message) -> None:
        position = self._turns[-1].position + GAP if self._turns else GAP
        self._turns.append(Turn(position, message))
        self._ops.append(Appended(message))

    def _insert(self, index: int, message: Message) -> None:
        before = self._turns[index].message.id
        low = self._turns[index - 1].position if index else 0
        if self._turns[index].position - low < 2:
            # There is no room between two turns.
            self._turns = list(_spread(self._turns))
            low = self._turns[index - 1].position if index else 0
        self._turns.insert(index, Turn((low + self._turns[index].position) // 2, message))
        self._ops.append(Inserted(before, message))

    def _edit(self, index: int, content: str) -> None:
        turn = self._turns[index]
        message = msgspec.structs.replace(turn.message, content=content)
        # The ids describe the old content only, so they go.
        self._turns[index] = Turn(turn.position, message)
        self._ops.append(Edited(message))

    def _cut(self, start: int, stop: int | None = None) -> None:
        stop = start + 1 if stop is None else stop
        self._ids -= {turn.message.id for turn in self._turns[start:stop]}
        del self._turns[start:stop]
