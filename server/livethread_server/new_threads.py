"""How a thread begins: created from drafts, or forked from another.

It must never know stores, engines or who listens.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from livethread import messages as wire
from livethread.messages import Draft
from livethread.model import Fork, Principal, Sampling, Thread
from livethread_server.lanes import Lane
from livethread_server.mutation import index_of, mutate
from livethread_server.placement import busy
from livethread_server.stamps import new_id, now
from livethread_server.store.base import Turn


def with_system_prompt(drafts: Sequence[Draft], own: str) -> Sequence[Draft]:
    """The operator's ``own`` system prompt before messages that bring none."""
    if not own or any(draft.role == "system" for draft in drafts):
        return drafts
    return (Draft("system", own), *drafts)


def new_thread(owner: Principal, command: wire.ThreadCreate, model: str) -> Thread:
    """A thread as ``thread.create`` asks for it, of ``model`` where that names none."""
    moment = now()
    return Thread(
        id=command.thread or new_id("t"),
        title=command.title,
        model=command.model or model,
        version=0,
        seq=0,
        epoch=new_id("e"),
        sampling=command.sampling or Sampling(),
        metadata=command.metadata or {},
        overflow=command.overflow or "error",
        pinned=bool(command.pinned),
        owner=owner.id,
        created_at=moment,
        updated_at=moment,
    )


def drafted(drafts: Sequence[Draft], by: Principal) -> tuple[Turn, ...]:
    """The turns of a new thread's first messages."""
    ops = [wire.Append(draft) for draft in drafts]
    return mutate((), ops, by, now(), field="messages").turns


def turns_to_fork(lane: Lane, at: str | None) -> tuple[Turn, ...]:
    """The turns up to ``at``; by default up to the last one before anything unfinished."""
    unfinished = {run.message for run in lane.runs}
    states = [turn.message.id in unfinished for turn in lane.turns]
    first = states.index(True) if True in states else len(states)
    if at is None:
        return lane.turns[:first]
    stop = index_of(lane.turns, at, "at") + 1
    if stop > first:
        raise busy([run.id for run in lane.runs])
    return lane.turns[:stop]


def forked(thread: Thread, turns: Sequence[Turn], owner: Principal, command: wire.ThreadFork) -> Thread:
    """A thread with the settings of another, its own life and its own owner."""
    moment = now()
    return msgspec.structs.replace(
        thread,
        id=command.new_thread or new_id("t"),
        title=thread.title if command.title is None else command.title,
        version=0,
        seq=0,
        epoch=new_id("e"),
        owner=owner.id,
        forked_from=Fork(thread.id, turns[-1].message.id if turns else None),
        created_at=moment,
        updated_at=moment,
    )
