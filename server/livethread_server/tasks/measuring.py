"""How large a result is as JSON, found out a piece at a time: other work has its turn between the pieces.

msgspec encodes a value in one go and lets no other OS thread run meanwhile, so a large result would stop every stream
of the server. It must never know what a result holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode

PIECE_BYTES = 256 << 10
"""So much is encoded until others have their turn."""


async def json_size(result: Struct) -> int:
    """Bytes of a struct as JSON, but for its tag and for defaults that it leaves out, where it has such."""
    size = since = 0
    for piece in _pieces(result):
        size += piece
        since += piece
        if since > PIECE_BYTES:
            since = 0
            await asyncio.sleep(0)
    return size


def result_too_large(size: int, most: int) -> CommandError:
    """A result has more bytes than all of them may have."""
    return CommandError(
        ErrorCode.TOO_LARGE,
        f"The result has {size} bytes, more than the {most} that all results may have. Ask for less at once.",
        limit_bytes=most,
        bytes=size,
    )


def _pieces(result: Struct) -> Iterator[int]:
    """Bytes of the struct without what its tuples hold, then those of each thing in these, with the comma behind it."""
    values = {field.encode_name: getattr(result, field.name) for field in msgspec.structs.fields(result)}
    tuples = [value for value in values.values() if isinstance(value, tuple) and value]
    yield len(msgspec.json.encode({n: () if isinstance(v, tuple) else v for n, v in values.items()})) - len(tuples)
    for items in tuples:
        for item in items:
            yield len(msgspec.json.encode(item)) + 1
