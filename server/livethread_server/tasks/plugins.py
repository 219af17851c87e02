"""Kinds of tasks from elsewhere: what installed packages name under the entry point group ``livethread.tasks``.

It must never know what a kind does.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from inspect import isclass
from typing import Any

from msgspec import Struct

from livethread.errors import LivethreadError
from livethread_server.tasks.kind import TaskKind

GROUP = "livethread.tasks"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


class PluginBroken(LivethreadError):  # noqa: N818 - the name says what happened
    """A package brings a kind of task that cannot be used. The sentence names it and the remedy."""


def installed_kinds(found: Iterable[importlib.metadata.EntryPoint] | None = None) -> Sequence[TaskKind]:
    """One of each kind that is installed. `PluginBroken` where one cannot be used: a server that silently lacked it
    would fail its clients later.
    """
    points = importlib.metadata.entry_points(group=GROUP) if found is None else found
    return [_load(point) for point in points]


def _load(point: importlib.metadata.EntryPoint) -> TaskKind:
    try:
        loaded = point.load()
        kind: Any = loaded() if isclass(loaded) else loaded
    except Exception as error:  # it is a stranger's code: anything may come out
        raise _broken(point, f"it cannot be loaded ({type(error).__name__}: {error})") from error
    if fault := _fault(kind):
        raise _broken(point, fault)
    found: TaskKind = kind
    return found


def _fault(kind: Any) -> str | None:
    """What keeps it from being a `TaskKind`."""
    if not isinstance(name := getattr(kind, "name", None), str) or not _NAME.fullmatch(name):
        return f"its name {name!r} is not made of small letters, digits and '-'"
    if not isinstance(getattr(kind, "summary", None), str):
        return "it has no summary"
    for part in ("Input", "Result"):
        found = getattr(kind, part, None)
        if not (isclass(found) and issubclass(found, Struct)):
            return f"its {part} is not a msgspec.Struct"
    if not kind.Input.__struct_config__.forbid_unknown_fields:
        return "its Input takes unknown fields; declare it with forbid_unknown_fields=True"
    missing = [part for part in ("refusal", "run") if not callable(getattr(kind, part, None))]
    return f"it has no method {missing[0]!r}" if missing else None


def _broken(point: importlib.metadata.EntryPoint, fault: str) -> PluginBroken:
    package = "an unknown package" if point.dist is None else f"the package {point.dist.name!r}"
    return PluginBroken(
        f"The kind of task {point.name!r} of {package} ({point.value}) cannot be used: {fault}. Mend or uninstall the "
        "package."
    )
