"""What a command must keep to beyond its types: plain values in free-form maps, sizes, and exclusions.

Every command passes `check` once, before anybody sees it. This module must never know encodings, or what
a server's settings allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.messages import (
    Append,
    Command,
    Draft,
    Edit,
    Generate,
    Insert,
    Mutate,
    Op,
    ReadDraft,
    TaskCreate,
    ThreadCreate,
    ThreadUpdate,
)
from livethread.model import MESSAGE_BYTES, METADATA_BYTES, Metadata, Sampling

NESTING = 32
"""How deep maps and lists may lie in each other in a free-form map, itself counted."""
SAMPLING_FIELDS = frozenset(Sampling.__struct_fields__)


class Unfit(Struct, frozen=True):
    """What no JSON value equals, named in ``words``; it fits no field, so that only its field is refused."""

    words: str


def check(command: Command) -> None:
    """Refuse what the types let through: ``bad_request`` or ``too_large``, naming the field."""
    if isinstance(command, Mutate | Generate):
        _check_ops(command.ops)
    if isinstance(command, ReadDraft):
        _check_content("text", command.text)
    if isinstance(command, ThreadCreate):
        for index, draft in enumerate(command.messages):
            check_draft(f"messages[{index}]", draft)
    if isinstance(command, TaskCreate):
        check_plain("input", command.input)
    if isinstance(command, ThreadCreate | ThreadUpdate):
        _check_metadata("metadata", command.metadata)
    if isinstance(command, ThreadCreate | ThreadUpdate | Generate) and isinstance(command.sampling, Sampling):
        _check_sampling(command.sampling)


def check_sampling_names(sampling: Any) -> None:
    """Refuse a sampling map with a field that is not one, `CommandError` ``bad_request``."""
    if isinstance(sampling, dict) and not sampling.keys() <= SAMPLING_FIELDS:
        name = f"sampling.{str(min(sampling.keys() - SAMPLING_FIELDS, key=str))[:64]}"
        known = ", ".join(Sampling.__struct_fields__)
        raise bad_request(name, f"There is no field '{name}'. Leave it out; sampling knows {known}.")


def _check_ops(ops: Iterable[Op]) -> None:
    for index, op in enumerate(ops):
        if isinstance(op, Append | Insert):
            check_draft(f"ops[{index}].message", op.message)
        elif isinstance(op, Edit):
            _check_content(f"ops[{index}].content", op.content)


def check_draft(name: str, draft: Draft) -> None:
    """Refuse a message that is too large, or whose metadata are no plain JSON, naming the field."""
    _check_content(f"{name}.content", draft.content)
    _check_metadata(f"{name}.metadata", draft.metadata)


def _check_content(name: str, content: str) -> None:
    _check_size(name, len(content.encode()), MESSAGE_BYTES, "Send the text in several messages")


def _check_metadata(name: str, metadata: Metadata | msgspec.UnsetType | None) -> None:
    if not metadata:
        return
    check_plain(name, metadata)
    _check_size(name, len(msgspec.json.encode(metadata)), METADATA_BYTES, "Keep less in it")


def _check_size(name: str, size: int, limit: int, remedy: str) -> None:
    if size > limit:
        sentence = f"Field '{name}' is {size} bytes long, but {limit} are allowed. {remedy}."
        raise CommandError(ErrorCode.TOO_LARGE, sentence, field=name, limit_bytes=limit, bytes=size)


def _check_sampling(sampling: Sampling) -> None:
    if sampling.json_schema is not None:
        check_plain("sampling.json_schema", sampling.json_schema)
        if sampling.grammar is not None:
            raise bad_request(
                "sampling.grammar",
                "Fields 'sampling.grammar' and 'sampling.json_schema' exclude each other. Send one of them.",
            )


def check_plain(name: str, value: Any) -> None:
    """Refuse what has no form in JSON, or nests too deep: `CommandError` ``bad_request``."""
    waiting = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if fault := _fault(item, level):
            raise bad_request(name, f"Field '{name}' {fault}")
        if isinstance(item, dict | list):
            inside = item.values() if isinstance(item, dict) else item
            waiting.extend((one, level + 1) for one in inside)


def _fault(item: Any, level: int) -> str | None:
    """What keeps one value, its insides aside, from being plain JSON."""
    if isinstance(item, dict | list):
        if level > NESTING:
            return f"nests deeper than {NESTING} levels. Make it flatter."
        if isinstance(item, dict) and not all(isinstance(key, str) for key in item):
            return "has a key that is not a string. Use strings as keys."
        return None
    if isinstance(item, float) and not math.isfinite(item):
        return "holds a number that is not finite or out of range. Send a finite number, or null."
    if isinstance(item, int) and not -(1 << 63) <= item < 1 << 64:
        return f"holds an integer of {item.bit_length()} bits, but 64 are allowed. Send it as a string."
    if item is None or isinstance(item, str | int | float):
        return None
    return f"holds {foreign_words(item)}, which JSON has no form for. Send plain JSON values only."


def foreign_words(item: Any) -> str:
    """What to call a value that is not plain JSON."""
    if isinstance(item, Unfit):
        return item.words
    return "binary data" if isinstance(item, bytes) else f"a {type(item).__name__}"
