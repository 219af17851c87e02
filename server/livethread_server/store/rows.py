"""How records look when they are kept: token ids, text and structs as bytes, and back.

Text that people or models write is kept as UTF-8 bytes, because not every database takes NUL characters in
text. This module must never know SQL.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from livethread.model import Message, Run, Thread
from livethread_server.store.base import RunRecord, Turn

Row = dict[str, Any]

_THREAD = msgspec.json.Decoder(Thread)
_MESSAGE = msgspec.json.Decoder(Message)
_RUN = msgspec.json.Decoder(Run)


def pack_tokens(tokens: tuple[int, ...]) -> bytes:
    """Token ids as int32, little endian, back to back."""
    return struct.pack(f"<{len(tokens)}i", *tokens)


def unpack_tokens(packed: bytes) -> tuple[int, ...]:
    """What `pack_tokens` packed."""
    return struct.unpack(f"<{len(packed) // 4}i", packed)


def kept(thread: Thread) -> Thread:
    """The thread as a store keeps it: no messages, no KV."""
    return msgspec.structs.replace(thread, messages=(), residency="cold")


def thread_row(thread: Thread) -> Row:
    """The columns of a thread; ``body`` is all of it, the others are what is searched."""
    return {
        "id": thread.id,
        "owner": thread.owner,
        "version": thread.version,
        "seq": thread.seq,
        "updated_at": thread.updated_at,
        "body": msgspec.json.encode(kept(thread)),
    }


def to_thread(body: bytes) -> Thread:
    """The thread of a ``body`` column."""
    return _THREAD.decode(body)


def turn_row(thread: str, turn: Turn) -> Row:
    """The columns of one turn of the thread with this id."""
    return {
        "thread": thread,
        "id": turn.message.id,
        "position": turn.position,
        "body": msgspec.json.encode(turn.message),
        "tokens": None if turn.tokens is None else pack_tokens(turn.tokens),
    }


def to_turn(row: Any) -> Turn:
    """The turn of a row that has the columns position, body and tokens."""
    tokens = None if row.tokens is None else unpack_tokens(row.tokens)
    return Turn(row.position, _MESSAGE.decode(row.body), tokens)


def run_row(record: RunRecord) -> Row:
    """The columns of a run; ``body`` is what the wire shows of it."""
    return {
        "id": record.run.id,
        "thread": record.run.thread,
        "owner": record.owner,
        "finished": record.run.state == "finished",
        "body": msgspec.json.encode(record.run),
        "request": record.request,
        "digest": record.digest,
        "answer": record.answer,
        "undo": record.undo,
        "base": record.base.encode(),
        "base_tokens": None if record.base_tokens is None else pack_tokens(record.base_tokens),
        "text": record.text.encode(),
        "tokens": pack_tokens(record.tokens),
        "started": record.started,
        "accepted_at": record.accepted_at,
    }


def to_run(row: Any) -> RunRecord:
    """The run of a row that has the columns of `run_row`."""
    return RunRecord(
        run=_RUN.decode(row.body),
        owner=row.owner,
        request=row.request,
        digest=row.digest,
        answer=row.answer,
        undo=row.undo,
        base=row.base.decode(),
        base_tokens=None if row.base_tokens is None else unpack_tokens(row.base_tokens),
        text=row.text.decode(),
        tokens=unpack_tokens(row.tokens),
        started=row.started,
        accepted_at=row.accepted_at,
    )
