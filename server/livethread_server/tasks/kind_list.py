"""Which kinds of tasks there are, by name.

It must never know where a kind comes from, or what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from livethread.checks import check_plain
from livethread.errors import LivethreadError, bad_request
from livethread.explain import explain
from livethread_server.tasks.kind import TaskKind


class KindsCollide(LivethreadError):  # noqa: N818 - the name says what happened
    """Two kinds have one name."""


class Kinds:
    """All kinds of a server. Raises `KindsCollide` where two have one name."""

    def __init__(self, kinds: Iterable[TaskKind]) -> None:
        self._kinds: dict[str, TaskKind] = {}
        for kind in kinds:
            if kind.name in self._kinds:
                raise KindsCollide(f"There are two kinds of task called {kind.name!r}. Uninstall one of them.")
            self._kinds[kind.name] = kind

    def __iter__(self) -> Iterator[TaskKind]:
        return iter(self._kinds.values())

    @property
    def names(self) -> Sequence[str]:
        """What clients ask for."""
        return tuple(self._kinds)

    def get(self, name: str) -> TaskKind:
        """The kind of this name. `CommandError` ``bad_request``."""
        kind = self._kinds.get(name)
        if kind is None:
            known = ", ".join(self._kinds)
            raise bad_request("kind", f"There is no kind of task {name[:64]!r}. Choose one of: {known}.")
        return kind


def input_of(kind: TaskKind, asked: msgspec.Struct | dict[str, object]) -> msgspec.Struct:
    """What was asked as the kind's input. `CommandError` ``bad_request`` about the field that does not fit."""
    given = asked if isinstance(asked, kind.Input) else _converted(kind, asked)
    for name, value in _maps("", given):
        check_plain(name, value)
    return given


def _converted(kind: TaskKind, asked: msgspec.Struct | dict[str, object]) -> msgspec.Struct:
    name = f"the input of {kind.name!r}"
    try:
        return msgspec.convert(asked, kind.Input, str_keys=True)
    except msgspec.ValidationError as error:
        raise explain(name, kind.Input, asked, error) from None


def _maps(path: str, given: msgspec.Struct) -> Iterator[tuple[str, dict[str, object]]]:
    """The free-form maps in an input, with their names: what no type has looked into."""
    for name, value in msgspec.structs.asdict(given).items():
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            yield f"{path}{name}", value
        elif isinstance(value, msgspec.Struct):
            yield from _maps(f"{path}{name}.", value)
