"""Commands as plain maps, for tests of what is let in."""

from __future__ import annotations

from typing import Any

import pytest

from livethread.codec import to_command
from livethread.errors import CommandError


def refusal(plain: dict[str, Any]) -> CommandError:
    with pytest.raises(CommandError) as refused:
        to_command(plain)
    return refused.value


def generate(**sampling: Any) -> dict[str, Any]:
    return {"type": "generate", "id": 1, "thread": "t", "sampling": sampling}


def append(**message: Any) -> dict[str, Any]:
    ops = [{"op": "append", "message": {"role": "user", "content": "", **message}}]
    return {"type": "mutate", "id": 1, "thread": "t", "ops": ops}


def create(**fields: Any) -> dict[str, Any]:
    return {"type": "thread.create", "id": 1, **fields}
