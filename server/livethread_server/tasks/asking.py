"""What somebody asked for in one task, and when that is the same again.

It must never know whether it can be done.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from livethread.model import Principal
from livethread_server.tasks.kind import TaskKind
from livethread_server.tasks.kind_list import Kinds, input_of


class Asking:
    """One creation, its input read. `CommandError` ``bad_request`` where there is no such kind, or the input does not
    fit it.
    """

    def __init__(
        self,
        kinds: Kinds,
        principal: Principal,
        kind: str,
        asked: Struct | dict[str, Any],
        *,
        task: str | None,
        timeout_ms: int | None,
        key: str | None,
    ) -> None:
        self.principal = principal
        self.kind: TaskKind = kinds.get(kind)
        self.given = input_of(self.kind, asked)
        self.task = task
        self.timeout_ms = timeout_ms
        self.key = key

    @cached_property
    def digest(self) -> str:
        """Equal for those who ask for the same."""
        plain = msgspec.to_builtins((self.kind.name, self.given, self.task, self.timeout_ms), str_keys=True)
        return hashlib.blake2b(msgspec.json.encode(plain, order="sorted"), digest_size=16).hexdigest()
