"""What a chunk of KV is called, and how it looks in a file.

A name is a hash over everything the rows depend on: the fingerprint of model and settings, who may use them,
the chunks before, and the tokens. So equal beginnings have equal names, and what a file holds follows from
its name. This module must never know where files are or what rows mean.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

TOKENS = 256
"""Tokens of a chunk that is not a tail."""
ROOT = bytes(32)
"""The parent of chunks that begin a context."""
SHARED = bytes(16)
"""The scope of tokens that were declared shared."""
TAG_SIZE = 32
FIXED_SIZE = 144
"""Bytes before the tokens in a file."""

_VERSION = 1
_MAGIC = b"LTHREAD\x00"
_FIXED = struct.Struct("<8sI?xxxQQQ32s16s32s24x")
assert _FIXED.size == FIXED_SIZE


class BadChunk(ValueError):  # noqa: N818 - the name says what happened
    """A file is not the chunk it should be; the text says why, without a full stop."""


def fingerprint_of(facts: Mapping[str, object]) -> bytes:
    """A hash of everything that llama.cpp does not check when it loads a state (FACTS A4)."""
    text = "\n".join(f"{name}={facts[name]!r}" for name in sorted(facts))
    return hashlib.blake2b(f"{_VERSION}\n{text}".encode(), digest_size=32, person=b"livethread model").digest()


def scope_of(tenant: str) -> bytes:
    """What stands for a tenant in names."""
    return hashlib.blake2b(tenant.encode(), digest_size=16, person=b"livethread scope").digest()


class Head(Struct, frozen=True, dict=True):
    """A chunk without its rows: its place in the chain, its ``tokens`` (int32, little endian) and sizes.

    ``whole`` chunks are whole states of memory that cannot be cut: ``size`` bytes that are good for exactly
    these tokens. Others have ``width`` bytes for each token.
    """

    fingerprint: bytes
    scope: bytes
    parent: bytes
    tokens: bytes
    width: int
    size: int
    whole: bool = False

    @cached_property
    def name(self) -> bytes:
        """The hash that names it."""
        digest = hashlib.blake2b(digest_size=32, person=b"livethread chunk")
        for part in (self.fingerprint, self.scope, self.parent, bytes([self.whole]), self.tokens):
            digest.update(part)
        return digest.digest()

    @property
    def count(self) -> int:
        """How many tokens."""
        return len(self.tokens) // 4

    @property
    def file_size(self) -> int:
        """Bytes of its file."""
        return FIXED_SIZE + len(self.tokens) + self.size + TAG_SIZE

    def pack(self) -> bytes:
        """The beginning of its file; the rows and the tag follow."""
        numbers = (self.count, self.width, self.size)
        fixed = _FIXED.pack(_MAGIC, _VERSION, self.whole, *numbers, self.fingerprint, self.scope, self.parent)
        return fixed + self.tokens


def unpack_head(data: bytes, file_size: int) -> Head:
    """The head that a file of this size begins with. Raises `BadChunk`; the tag is not looked at."""
    if len(data) < FIXED_SIZE:
        raise BadChunk("it is too short")
    magic, version, whole, count, width, size, fingerprint, scope, parent = _FIXED.unpack(data[:FIXED_SIZE])
    if magic != _MAGIC or version != _VERSION:
        raise BadChunk("it does not begin as a chunk of this version does")
    if count == 0 or FIXED_SIZE + 4 * count > len(data):
        raise BadChunk(f"it says that it has {count} tokens")
    tokens = data[FIXED_SIZE : FIXED_SIZE + 4 * count]
    head = Head(fingerprint, scope, parent, tokens, width, size, whole)
    if head.file_size != file_size or (not whole and size != width * count):
        raise BadChunk(f"it has {file_size} bytes instead of {head.file_size}")
    return head


def head_size(data: bytes) -> int:
    """How many bytes of a file its head takes, from the first `FIXED_SIZE` of them; 0 where that is no head."""
    if len(data) < FIXED_SIZE:
        return 0
    return FIXED_SIZE + 4 * min(int(_FIXED.unpack(data[:FIXED_SIZE])[3]), 1 << 20)


def tag(key: bytes, head: bytes, rows: Bytes, *, quick: bool = False) -> bytes:
    """The keyed hash over a file's head and rows: BLAKE2b, or HMAC-SHA-256, which CPUs have instructions for."""
    digest: Any = hmac.new(key, head, "sha256") if quick else hashlib.blake2b(head, digest_size=TAG_SIZE, key=key)
    digest.update(rows.data)
    found: bytes = digest.digest()
    return found


def verify(key: bytes, head: bytes, rows: Bytes, found: bytes, *, quick: bool = False) -> None:
    """Raises `BadChunk` where the tag is not the one that was written."""
    if not hmac.compare_digest(tag(key, head, rows, quick=quick), found):
        raise BadChunk("its tag does not fit what it holds")


class Namer(Struct, frozen=True):
    """Names the chunks of one model with its settings; ``width`` is bytes of rows per token."""

    fingerprint: bytes
    width: int

    def chain(self, tokens: bytes, scope: bytes, shared: int) -> list[Head]:
        """The chunks of a whole context; those of the first ``shared`` tokens belong to everybody."""
        heads: list[Head] = []
        parent = ROOT
        for start, stop in _ranges(len(tokens) // 4, shared):
            piece = tokens[4 * start : 4 * stop]
            whose = SHARED if stop <= shared else scope
            heads.append(Head(self.fingerprint, whose, parent, piece, self.width, self.width * (stop - start)))
            parent = heads[-1].name
        return heads

    def whole(self, tokens: bytes, scope: bytes, size: int) -> Head:
        """The one chunk of a context that cannot be cut."""
        return Head(self.fingerprint, scope, ROOT, tokens, 0, size, whole=True)


def _ranges(count: int, shared: int) -> Iterator[tuple[int, int]]:
    """Runs of `TOKENS`, counted from 0 and again from where the shared tokens end."""
    shared = min(max(shared, 0), count)
    for first, last in ((0, shared), (shared, count)):
        for start in range(first, last, TOKENS):
            yield start, min(start + TOKENS, last)
