"""How a request is read: its path, query and body become what an operation's types say, or it is refused.

It must never know what an operation does.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, inspect
from starlette.requests import Request

from livethread.checks import check_sampling_names
from livethread.codec import decode_json
from livethread.errors import CommandError, ErrorCode, bad_request
from livethread.explain import explain
from livethread_server.http.problem import StatusError

QUERY_FIELDS = 64
"""How many parameters a query may have."""

_EXACT = float(1 << 53)
"""From here on not every integer is a number of its own."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_BOOLEANS = {"true": True, "false": False}


def path_ids(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """The path's parameters by their names. `CommandError` ``bad_request`` where one is no id."""
    for name, value in zip(names, values, strict=True):
        if not _ID.fullmatch(value):
            shown = value if len(value) <= 64 else value[:64] + "…"
            raise bad_request(name, f"The {name} {shown!r} in the path is no id: 1 to 64 letters, digits, '-' or '_'.")
    return dict(zip(names, values, strict=True))


class QueryReader:
    """Reads query strings as a struct of plain fields."""

    def __init__(self, kind: type[Struct] | None) -> None:
        self._kind = kind
        self._fields = {} if kind is None else {one.encode_name: _plain(one.type) for one in _fields(kind)}

    def read(self, text: bytes) -> Any:
        """The struct, None where the operation has no query. `CommandError` ``bad_request``."""
        given: dict[str, Any] = {}
        for name, value in _pairs(text):
            if name in given:
                raise bad_request(name[:64], f"The query has {name[:64]!r} more than once. Send it once.")
            if name not in self._fields:
                raise self._unknown(name[:64])
            given[name] = _value(self._fields[name], value)
        if self._kind is None:
            return None
        try:
            return msgspec.convert(given, self._kind)
        except msgspec.ValidationError as error:
            raise explain("the query", self._kind, given, error) from None

    def _unknown(self, name: str) -> CommandError:
        known = f"known here: {', '.join(self._fields)}" if self._fields else "there are none here"
        return bad_request(name, f"There is no query parameter {name!r}. Leave it out; {known}.")


def _fields(kind: type[Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _plain(info: inspect.Type) -> type:
    """Whether a parameter is an integer, true or false, or text."""
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    if any(isinstance(one, inspect.IntType) for one in kinds):
        return int
    return bool if any(isinstance(one, inspect.BoolType) for one in kinds) else str


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS, separator="&"
        )
    except ValueError:  # UnicodeDecodeError is one
        raise bad_request(
            "query", f"The query is no list of at most {QUERY_FIELDS} parameters in percent-encoded UTF-8."
        ) from None


def _value(kind: type, text: str) -> Any:
    """What a parameter says; what does not fit stays text, which its type refuses."""
    if kind is int and _INTEGER.fullmatch(text):
        return int(text)
    return _BOOLEANS.get(text, text) if kind is bool else text


async def read_body(request: Request, kind: Any, most: int) -> Any:
    """The body as a ``kind``; none counts as ``{}``. `CommandError` ``bad_request`` or ``too_large``."""
    data = await _bytes(request, most)
    plain = _json(request, data) if data else {}
    if isinstance(plain, dict):
        check_sampling_names(plain.get("sampling"))
    try:
        return _converted(plain, kind)
    except msgspec.ValidationError as error:
        raise explain("the body", kind, plain, error) from None
    except RecursionError:
        raise bad_request("body", "The body nests too deep. Make it flatter.") from None


def _converted(plain: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(plain, kind, str_keys=True)
    except msgspec.ValidationError:
        # An integer is, by JSON Schema, a number without a fraction: 9.0 is one. Nobody else pays for finding them.
        return msgspec.convert(_whole(plain), kind, str_keys=True)


def _whole(plain: Any) -> Any:
    """With integers in place of the numbers that have no fraction."""
    if isinstance(plain, dict):
        return {name: _whole(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [_whole(value) for value in plain]
    exact = isinstance(plain, float) and plain.is_integer() and abs(plain) < _EXACT
    return int(plain) if exact else plain


async def _bytes(request: Request, most: int) -> bytes:
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said) > most:
        raise _too_large(most)
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            raise _too_large(most)
    return bytes(data)


def _json(request: Request, data: bytes) -> Any:
    kinds = request.headers.getlist("content-type")
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
        raise StatusError(
            415, ErrorCode.BAD_REQUEST, "The body must be JSON. Send it with 'Content-Type: application/json'."
        )
    try:
        return decode_json(data.decode())
    except (ValueError, RecursionError) as error:
        raise bad_request("body", f"The body is not JSON: {error}.") from None


def _too_large(most: int) -> CommandError:
    return CommandError(
        ErrorCode.TOO_LARGE, f"The body has more than {most} bytes. Send less at once.", limit_bytes=most
    )
