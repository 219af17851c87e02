"""The state of a sequence as llama.cpp writes it ⇄ KV rows of single tokens, for plain attention caches.

What ``llama_state_seq_get_data`` gives: magic, sequence id, number of streams; per stream the number of
cells, and where it is not 0 per cell position, 1, sequence id; then whether V is transposed, the number of
layers, and the K blocks and V blocks of all layers. This module must never know llama.cpp or files.
"""

from __future__ import annotations

import struct

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

MAGIC = 0xAF143CD8
_BEGINNING = struct.Struct("<III")
_COUNT = struct.Struct("<I")
_CELL = np.dtype([("position", "<i4"), ("sequences", "<u4"), ("sequence", "<i4")])
_LAYERS = struct.Struct("<II")
_ROWS = struct.Struct("<iQ")
_COLUMNS = struct.Struct("<iII")


class Malformed(ValueError):  # noqa: N818 - the name says what happened
    """A state is not what it should be; nothing of it may be used."""


class Block(Struct, frozen=True):
    """One layer's K or V: ``lanes`` runs of ``step`` bytes per token; ``kind`` is ggml's type.

    Rows have one lane, transposed V has one for each of its values.
    """

    kind: int
    lanes: int
    step: int
    transposed: bool


class Shape(Struct, frozen=True):
    """What is equal in all states of a context: its blocks in order, first all K, then all V."""

    transposed: bool
    layers: int
    blocks: tuple[Block, ...]

    @property
    def width(self) -> int:
        """Bytes that one token takes in its rows."""
        return sum(block.lanes * block.step for block in self.blocks)


class Parsed(Struct, frozen=True):
    """A state that was checked: its shape, number of tokens, where its blocks begin, the order of its cells."""

    shape: Shape
    streams: int
    count: int
    offsets: tuple[int, ...]
    order: NDArray[np.int64] | None


def parse(state: Bytes) -> Parsed:
    """Check a state to its last byte. Raises `Malformed`."""
    reader = _Reader(state)
    streams, stream, count = _read_beginning(reader)
    order = _read_cells(reader, count)
    transposed, layers = reader.take(_LAYERS)
    if transposed not in (0, 1) or layers * _ROWS.size > len(state):
        raise Malformed(f"The state says {transposed} of its V and has {layers} layers.")
    blocks: list[Block] = []
    offsets: list[int] = []
    for number in range(2 * layers):
        block = _read_block(reader, transposed=bool(transposed) and number >= layers)
        blocks.append(block)
        offsets.append(reader.at)
        reader.skip(block.lanes * block.step * count)
    if any(reader.take(_COUNT)[0] for _ in range(stream + 1, streams)) or reader.at != len(state):
        raise Malformed(f"The state has {len(state)} bytes; {reader.at} were expected, and one stream with cells.")
    return Parsed(Shape(bool(transposed), layers, tuple(blocks)), streams, count, tuple(offsets), order)


class _Reader:
    """Takes numbers off a state, and never reads beyond it."""

    def __init__(self, state: Bytes) -> None:
        self._state = state
        self.at = 0

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self.skip(form.size).tobytes())

    def skip(self, size: int) -> Bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self._state):
            raise Malformed(f"The state ends after {len(self._state)} bytes, before byte {self.at}.")
        return self._state[start : self.at]


def _read_beginning(reader: _Reader) -> tuple[int, int, int]:
    """Number of streams, which of them has cells, and how many."""
    magic, _, streams = reader.take(_BEGINNING)
    if magic != MAGIC or not 0 < streams <= 256:
        raise Malformed(f"The state begins with {magic:#x} and {streams} streams.")
    for stream in range(streams):
        (count,) = reader.take(_COUNT)
        if count:
            return streams, stream, count
    raise Malformed("The state holds no cells.")


def _read_cells(reader: _Reader, count: int) -> NDArray[np.int64] | None:
    """Where the cells lie by position; None where they lie in that order."""
    cells = reader.skip(count * _CELL.itemsize).view(_CELL)
    if (cells["sequences"] != 1).any() or (cells["sequence"] != cells["sequence"][0]).any():
        raise Malformed("The state holds cells of other sequences.")
    expected = np.arange(count)
    if np.array_equal(cells["position"], expected):
        return None
    order = np.argsort(cells["position"], kind="stable")
    if not np.array_equal(cells["position"][order], expected):
        raise Malformed("The positions in the state are not 0 and up without a gap.")
    return order


def _read_block(reader: _Reader, transposed: bool) -> Block:
    if transposed:
        kind, step, lanes = reader.take(_COLUMNS)
        return Block(kind, lanes, step, True)
    kind, step = reader.take(_ROWS)
    return Block(kind, 1, step, False)


def rows_of(state: Bytes, parsed: Parsed, start: int, stop: int) -> Bytes:
    """A copy of the rows of tokens [start, stop): block after block, without any headers."""
    rows = np.empty((stop - start) * parsed.shape.width, np.uint8)
    at = 0
    for block, offset in zip(parsed.shape.blocks, parsed.offsets, strict=True):
        size = block.lanes * block.step * (stop - start)
        target = rows[at : at + size].reshape(block.lanes, -1)
        source = state[offset : offset + block.lanes * block.step * parsed.count]
        if parsed.order is None:
            target[:] = source.reshape(block.lanes, -1)[:, start * block.step : stop * block.step]
        else:
            cells = source.reshape(block.lanes, parsed.count, block.step)[:, parsed.order[start:stop]]
            target[:] = cells.reshape(block.lanes, -1)
        at += size
    return rows


def state_size(shape: Shape, streams: int, count: int) -> int:
    """Bytes of a state of ``count`` tokens."""
    numbers = _BEGINNING.size + _COUNT.size * streams + _LAYERS.size + _ROWS.size * len(shape.blocks)
    return numbers + count * (_CELL.itemsize + shape.width)


class Frame:
    """A state being put together in ``state``, of exactly `state_size` bytes, out of the rows of its tokens.

    Different rows may be put by different OS threads at the same time.
    """

    def __init__(self, state: Bytes, shape: Shape, *, streams: int, stream: int, count: int) -> None:
        self.state = state
        self._shape = shape
        self._count = count
        self._at = 0
        self._offsets: list[int] = []
        self._write(_BEGINNING.pack(MAGIC, stream, streams) + bytes(_COUNT.size * stream) + _COUNT.pack(count))
        cells = np.zeros(count, _CELL)
        cells["position"], cells["sequences"], cells["sequence"] = np.arange(count), 1, stream
        self._write(cells.tobytes())
        self._write(_LAYERS.pack(shape.transposed, shape.layers))
        for block in shape.blocks:
            self._write(_numbers(block))
            self._offsets.append(self._at)
            self._at += block.lanes * block.step * count
        self._write(bytes(_COUNT.size * (streams - stream - 1)))

    def _write(self, data: bytes) -> None:
        self.state[self._at : self._at + len(data)] = np.frombuffer(data, np.uint8)
        self._at += len(data)

    def put(self, start: int, count: int, rows: Bytes) -> None:
        """Put the first ``count`` of ``rows`` where the tokens from ``start`` on belong."""
        held = len(rows) // self._shape.width
        at = 0
        for block, offset in zip(self._shape.blocks, self._offsets, strict=True):
            size = block.lanes * block.step
            source = rows[at : at + size * held].reshape(block.lanes, -1)
            target = self.state[offset : offset + size * self._count].reshape(block.lanes, -1)
            target[:, start * block.step : (start + count) * block.step] = source[:, : count * block.step]
            at += size * held


def _numbers(block: Block) -> bytes:
    if block.transposed:
        return _COLUMNS.pack(block.kind, block.step, block.lanes)
    return _ROWS.pack(block.kind, block.step)
