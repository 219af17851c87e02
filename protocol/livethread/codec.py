"""Message ⇄ frame, in JSON (text frames) and MessagePack (binary frames).

The same maps in both encodings; no extension types; a number that is not finite travels as null.
This module must never know the order in which messages may come: that is ``connection.py``.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

import msgpack
import msgspec

from livethread.checks import Unfit, check, check_sampling_names, foreign_words
from livethread.errors import FrameError
from livethread.errors import bad_request as bad_request
from livethread.explain import explain
from livethread.messages import COMMANDS, EVENTS, SUMMARIES, TASK_EVENTS, Command, Event, Reply, TaskEvent

SUBPROTOCOL_JSON = "livethread.v1.json"
SUBPROTOCOL_MSGPACK = "livethread.v1.msgpack"

Frame = str | bytes
Plain = dict[str, Any]
T = TypeVar("T")

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_to_msgpack = msgspec.msgpack.Encoder().encode


def bytes_of(frame: Frame) -> int:
    """How many bytes a frame has on the wire, its header left out: text goes as UTF-8 (RFC 6455, 5.6)."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())


class Codec(Protocol):
    """One encoding of the wire. Frames are bounded by whoever reads them off a socket."""

    subprotocol: str

    def encode(self, message: Any) -> Frame:
        """Turn a struct of ``messages`` into a frame."""

    def decode(self, frame: Frame) -> Plain:
        """Turn a frame into the map it holds; `FrameError` where there is none."""


class JsonCodec:
    """RFC 8259 in text frames."""

    subprotocol = SUBPROTOCOL_JSON

    def encode(self, message: Any) -> str:
        return _to_json(message).decode()

    def decode(self, frame: Frame) -> Plain:
        if not isinstance(frame, str):
            raise FrameError(f"The frame is binary, but {self.subprotocol} uses text frames.")
        try:
            value = decode_json(frame)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FrameError(f"The frame is not JSON: {error}.") from None
        return _as_map(value)


class MsgpackCodec:
    """MessagePack maps in binary frames."""

    subprotocol = SUBPROTOCOL_MSGPACK

    def encode(self, message: Any) -> bytes:
        # By way of JSON, all of it in C: so both encodings hold the same map, keys are strings and what is
        # not finite is null.
        return _to_msgpack(_from_json(_to_json(message)))

    def decode(self, frame: Frame) -> Plain:
        if not isinstance(frame, bytes):
            raise FrameError(f"The frame is text, but {self.subprotocol} uses binary frames.")
        try:
            value = _decode_msgpack(frame)
        except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise FrameError(f"The frame is not MessagePack: {error or type(error).__name__}.") from None
        return _as_map(value)


CODECS: dict[str, Codec] = {SUBPROTOCOL_JSON: JsonCodec(), SUBPROTOCOL_MSGPACK: MsgpackCodec()}
"""The encodings by their WebSocket subprotocol; the first is the default."""


def command_id(plain: Plain) -> int:
    """The integer id of a command's map; `FrameError` where it has none that fits in 64 bits."""
    value = plain.get("id")
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise FrameError("The frame has no integer 'id'. Every command needs one of its own.")
    return value


def to_command(plain: Plain) -> Command:
    """Turn a map into the typed command it says it is, or refuse it.

    `CommandError`: ``bad_request`` or, for contents and metadata, ``too_large``.
    """
    kind = plain.get("type")
    if not isinstance(kind, str):
        raise bad_request("type", "Field 'type' must be a string that names the command, such as 'generate'.")
    if kind not in COMMANDS:
        raise bad_request("type", f"There is no command of type {kind[:64]!r}. Known types: {', '.join(COMMANDS)}.")
    check_sampling_names(plain.get("sampling"))
    try:
        command = msgspec.convert(plain, COMMANDS[kind], str_keys=True)
    except msgspec.ValidationError as error:
        raise explain(kind, COMMANDS[kind], plain, error) from None
    check(command)
    return command


def to_task_event(plain: Plain) -> TaskEvent | None:
    """Turn a map into a typed event of a task; None where it is of something else."""
    kind = plain.get("type")
    return convert(plain, TASK_EVENTS[kind]) if isinstance(kind, str) and kind in TASK_EVENTS else None


def to_event(plain: Plain) -> Event | None:
    """Turn a map into a typed event of a thread; None where this version does not know its type."""
    kind = plain.get("type")
    known = EVENTS if "seq" in plain else EVENTS | SUMMARIES
    return convert(plain, known[kind]) if isinstance(kind, str) and kind in known else None


def to_reply(plain: Plain) -> Reply:
    """Turn a map into a reply whose ``ok`` is still a plain map."""
    return convert(plain, Reply)


def convert(plain: Any, kind: type[T]) -> T:
    """Turn plain values into ``kind``; `FrameError` where they do not fit."""
    try:
        return msgspec.convert(plain, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise FrameError(f"The frame does not fit its type: {error}.") from None


def _as_map(value: Any) -> Plain:
    if not isinstance(value, dict):
        raise FrameError(f"The frame holds {_KINDS.get(type(value)) or foreign_words(value)}, not a map.")
    return value


_KINDS = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    type(None): "null",
}


def decode_json(text: str) -> Any:
    """The value of a JSON text; `ValueError`, which msgspec's error is too, or `RecursionError` where it is none."""
    try:
        return _from_json(text)
    except msgspec.ValidationError:
        # A number out of range. It must become infinite, so that only its field is refused.
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_to_int)
        json.dumps(value, ensure_ascii=False).encode()  # refuses half surrogates, as msgspec does
        return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _to_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= 64 else float(digits)


def _decode_msgpack(frame: bytes) -> Any:
    try:
        return msgpack.unpackb(frame, ext_hook=_unfit)
    except ValueError:
        # Integers as map keys are refused here before a map is built: they can be made to collide.
        return msgpack.unpackb(frame, ext_hook=_unfit, strict_map_key=False, object_pairs_hook=_to_map)


def _to_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any] | Unfit:
    if all(isinstance(key, str) for key, _ in pairs):
        return dict(pairs)
    return Unfit("a map with keys that are not strings")


def _unfit(code: int, _data: bytes) -> Unfit:
    return Unfit(f"a MessagePack extension of type {code}")
