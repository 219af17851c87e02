"""Which tasks there are: whose they are, by which ids and keys they are found, and how they are listed.

It must never know how a task begins or ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.tasks import TaskState
from livethread_server.tasks.asking import Asking
from livethread_server.tasks.live_task import LiveTask


class Book:
    """All tasks, unfinished and finished ones. Ids and keys are their owners' own."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, LiveTask]] = {}
        self._keys: dict[tuple[str, str], LiveTask] = {}

    def __iter__(self) -> Iterator[LiveTask]:
        return iter([live for mine in self._of.values() for live in mine.values()])

    def add(self, live: LiveTask) -> None:
        """One more."""
        self._of.setdefault(live.owner, {})[live.id] = live
        if live.key is not None:
            self._keys[live.owner, live.key] = live

    def forget(self, live: LiveTask) -> None:
        """It cannot be found any more."""
        mine = self._of.get(live.owner, {})
        mine.pop(live.id, None)
        if not mine:
            self._of.pop(live.owner, None)
        if live.key is not None:
            self._keys.pop((live.owner, live.key), None)

    def find(self, owner: str, task: str) -> LiveTask:
        """An owner's task. `CommandError` ``not_found``: the same for one that is not there, is gone, or is somebody
        else's."""
        live = self._of.get(owner, {}).get(task)
        if live is None or live.refused is not None:
            raise unknown(task)
        return live

    def same(self, asking: Asking) -> LiveTask | None:
        """The task that the same was asked of before. `CommandError` where its key or id is of something else."""
        owner = asking.principal.id
        by_key = None if asking.key is None else self._keys.get((owner, asking.key))
        known = by_key or (None if asking.task is None else self._of.get(owner, {}).get(asking.task))
        if known is None or known.digest == asking.digest:
            return known
        if by_key is not None:
            sentence = f"The key {asking.key!r} was used for another task. Use a new key for a new task."
            raise bad_request("key", sentence)
        sentence = f"There is a task {asking.task!r} already. Use a new task id."
        raise CommandError(ErrorCode.EXISTS, sentence, field="task", task=asking.task)

    def page(
        self, owner: str, *, kind: str | None, state: TaskState | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[LiveTask], str | None]:
        """An owner's tasks that were taken, the newest first, and where the next page begins. `CommandError` about the
        cursor."""
        before = _place(cursor)
        found = [
            live
            for live in reversed(self._of.get(owner, {}).values())
            if live.taken and live.number < before and kind in (None, live.kind.name) and state in (None, live.state)
        ]
        more = str(found[limit - 1].number) if len(found) > limit else None
        return found[:limit], more

    def by_state(self, kinds: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many there are, by kind and state."""
        counts = {kind: Counter[str]() for kind in kinds}
        for live in self:
            counts[live.kind.name][live.state] += 1
        return {kind: dict(states) for kind, states in counts.items()}


def unknown(task: str) -> CommandError:
    """There is no such task, for whoever asks."""
    sentence = f"There is no task {task!r}, or its time is over. Use the id that its creation answered."
    return CommandError(ErrorCode.NOT_FOUND, sentence, field="task", task=task)


def _place(cursor: str | None) -> float:
    if cursor is None:
        return float("inf")
    if not (cursor.isascii() and cursor.isdecimal()):
        raise bad_request("cursor", f"The cursor {cursor[:64]!r} is none of this server. Begin without one.")
    return int(cursor)
