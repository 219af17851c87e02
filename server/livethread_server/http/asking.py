"""How a request becomes a command of the wire, and is carried out as one: there is one set of rules.

It must never know which operation asks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT, Struct

from livethread.checks import check
from livethread.messages import Command
from livethread_server.service import Service
from livethread_server.session import Session

C = TypeVar("C", bound=Command)


def part_of(kind: type[Command], name: str, doc: str, without: Collection[str] = (), **more: Any) -> type[Struct]:
    """What a request brings of a command, as a struct: its fields but its id and those ``without``, which come from
    elsewhere. ``more`` are fields that only the request has, each a pair of a type and a default."""
    fields: list[Any] = [
        (one.name, one.type) if one.default is NODEFAULT else (one.name, one.type, one.default)
        for one in msgspec.structs.fields(kind)
        if one.name != "id" and one.name not in without
    ]
    fields += [(field, *pair) for field, pair in more.items()]
    namespace = {"__doc__": doc}
    return msgspec.defstruct(
        name, fields, namespace=namespace, frozen=True, kw_only=True, forbid_unknown_fields=True, module=__name__
    )


def command_of(kind: type[C], part: Struct | None = None, /, **others: Any) -> C:
    """The command that a request's ``part`` and what came ``others`` ways make."""
    names = () if part is None else part.__struct_fields__
    brought = {name: getattr(part, name) for name in names if name in kind.__struct_fields__}
    return kind(id=0, **(brought | others))


async def ask(service: Service, session: Session, command: Command) -> Any:
    """Carry a command out; its ``Ok``, or the `CommandError`."""
    check(command)
    answers: list[Struct] = []
    service.announce(session, command)
    await service.carry_out(session, command, answers.append)
    (ok,) = answers
    return ok
