"""Frames of both encodings, and what becomes of hostile ones."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.codec import (
    CODECS,
    Codec,
    Frame,
    JsonCodec,
    MsgpackCodec,
    bytes_of,
    command_id,
    to_command,
    to_event,
    to_reply,
)
from livethread.errors import FrameError
from livethread.messages import (
    Edited,
    Generate,
    Reply,
    RunDelta,
    RunStarted,
    ThreadMutated,
    ThreadUpdate,
)
from livethread.model import Message, Principal, Sampling, Timings
from tests.commands import append, create, generate, refusal

JSON, MSGPACK = JsonCodec(), MsgpackCodec()
BY = Principal("p", "P")
SPOKEN: list[Any] = [
    RunDelta(thread="t", run="r", start=0, to=2, text="Grüße 🙂"),
    ThreadUpdate(id=1, thread="t", title=None),
    Generate(id=1, thread="t", sampling=Sampling(logit_bias={5: -1.5}, temperature=0)),
    Reply(id=1, ok=Sampling(seed=1)),
    ThreadMutated(
        thread="t",
        seq=2,
        version=3,
        by=BY,
        updated_at="now",
        ops=(
            Edited(
                Message(
                    id="m",
                    role="user",
                    content="",
                    created_at="now",
                    metadata={"a": [None, 1.5, True]},
                    timings=Timings(0.1, 1.0, math.nan, math.inf),
                )
            ),
        ),
    ),
]


@pytest.mark.parametrize("message", SPOKEN)
def test_both_encodings_hold_the_same_map(message: Any) -> None:
    assert MSGPACK.decode(MSGPACK.encode(message)) == JSON.decode(JSON.encode(message))


def test_numbers_that_are_not_finite_travel_as_null() -> None:
    message = SPOKEN[-1]
    for codec in CODECS.values():
        timings = codec.decode(codec.encode(message))["ops"][0]["message"]["timings"]
        assert timings == {"queue_ms": 0.1, "prompt_ms": 1.0, "first_token_ms": None, "generate_ms": None}


def test_keys_are_strings_in_both_encodings() -> None:
    for codec in CODECS.values():
        assert codec.decode(codec.encode(SPOKEN[2]))["sampling"]["logit_bias"] == {"5": -1.5}


def test_an_absent_field_is_not_a_null_field() -> None:
    plain = JSON.decode(JSON.encode(SPOKEN[1]))
    assert plain["title"] is None
    assert "model" not in plain


def test_a_command_comes_back_as_it_went() -> None:
    for codec in CODECS.values():
        assert to_command(codec.decode(codec.encode(SPOKEN[2]))) == SPOKEN[2]


def test_an_event_comes_back_as_it_went_and_an_unknown_one_is_nothing() -> None:
    assert to_event(JSON.decode(JSON.encode(SPOKEN[0]))) == SPOKEN[0]
    assert to_event({"type": "run.sang", "thread": "t"}) is None
    assert to_event({"type": ["run.delta"]}) is None


def test_a_client_ignores_fields_that_it_does_not_know() -> None:
    started = RunStarted(
        thread="t",
        seq=1,
        version=1,
        run="r",
        message="m",
        model="m",
        instance="i",
        prompt_tokens=1,
        reused_tokens=0,
        sampling=Sampling(seed=1),
        by=BY,
    )
    plain = msgspec.to_builtins(started) | {"mood": "good"}
    plain["sampling"]["vibe"] = "calm"
    assert to_event(plain) == started
    assert to_reply({"type": "reply", "id": 1, "ok": {}, "mood": "good"}).ok == {}


UNREADABLE: list[tuple[Codec, Any]] = [
    (JSON, ""),
    (JSON, "{"),
    (JSON, "5"),
    (JSON, "[]"),
    (JSON, "null"),
    (JSON, '"generate"'),
    (JSON, '{"id": 1} {"id": 2}'),
    (JSON, '{"id": NaN}'),
    (JSON, '{"id": 1, "a": 1e999, "b": -Infinity}'),
    (JSON, '{"id": 1, "a": "\\ud800"}'),
    (JSON, '{"id": 1, "a": 1e999, "b": "\\ud800"}'),
    (JSON, '{"id": 1, "a": 1e999, '),
    (JSON, "\ud800"),
    (JSON, "[" * 500_000),
    (JSON, "[1e999," * 100_000),
    (JSON, '{"a":' * 100_000),
    (JSON, b"{}"),
    (MSGPACK, "{}"),
    (MSGPACK, b""),
    (MSGPACK, b"\xc1"),
    (MSGPACK, b"\x05"),
    (MSGPACK, b"\x80\x80"),
    (MSGPACK, b"\x91" * 500_000),
    (MSGPACK, b"\x81\xa1a" * 200_000),
    (MSGPACK, b"\xdf\xff\xff\xff\xff"),
    (MSGPACK, b"\xc6\xff\xff\xff\xff"),
    (MSGPACK, b"\xdb\xff\xff\xff\xffabc"),
    (MSGPACK, msgpack.packb({"a": "x"})[:-1]),
    (MSGPACK, b"\x81\xa1a\xa2\xff\xfe"),
    (MSGPACK, msgpack.packb({1: 2})),
    (MSGPACK, msgpack.packb(msgpack.ExtType(5, b""))),
    (MSGPACK, msgpack.packb(msgpack.Timestamp(5))),
]


@pytest.mark.parametrize(("codec", "frame"), UNREADABLE)
def test_a_frame_that_holds_no_map_is_a_frame_error(codec: Codec, frame: Any) -> None:
    with pytest.raises(FrameError, match=r"^The frame .*\.$"):
        codec.decode(frame)


@pytest.mark.parametrize("value", [None, "1", 1.0, True, [], math.inf, 1 << 63])
def test_a_command_needs_an_integer_id(value: Any) -> None:
    with pytest.raises(FrameError, match="integer 'id'"):
        command_id({"id": value})
    with pytest.raises(FrameError, match="integer 'id'"):
        command_id({})


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_decode_or_raise_a_frame_error(frame: bytes) -> None:
    spoken: list[tuple[Codec, Frame]] = [(MSGPACK, frame), (JSON, frame.decode("latin-1"))]
    for codec, either in spoken:
        with suppress(FrameError):
            assert isinstance(codec.decode(either), dict)


# What a frame with a map and an id may hold: refused by its field, never by the connection


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "-" + "9" * 5000])
def test_a_json_number_out_of_range_is_refused_by_its_field(number: str) -> None:
    frame = f'{{"type": "generate", "id": 1, "thread": "t", "sampling": {{"temperature": {number}}}}}'
    error = refusal(JSON.decode(frame))
    assert (error.code, error.details) == ("bad_request", {"field": "sampling.temperature"})
    frame = f'{{"type": "thread.create", "id": 1, "metadata": {{"a": [{number}]}}}}'
    assert refusal(JSON.decode(frame)).details == {"field": "metadata"}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (create(title=msgpack.Timestamp(5)), "title"),
        (create(title=msgpack.ExtType(5, b"x")), "title"),
        (create(title=b"x"), "title"),
        (create(metadata={"a": msgpack.Timestamp(5)}), "metadata"),
        (create(metadata={"a": [msgpack.ExtType(5, b"x")]}), "metadata"),
        (create(metadata={"a": {"b": b"x"}}), "metadata"),
        (create(metadata={1: "x"}), "metadata"),
        (create(metadata={b"a": "x"}), "metadata"),
        (create(metadata={"a": {1: "x"}}), "metadata"),
        (create(metadata={"a": {b"b": "x"}}), "metadata"),
        (create(metadata={"a": math.nan}), "metadata"),
        (generate(logit_bias={5: 1.0}), "sampling.logit_bias"),
        (generate(json_schema={"enum": [b"x"]}), "sampling.json_schema"),
        (generate(json_schema={"enum": [math.inf]}), "sampling.json_schema"),
        (append(metadata={"a": b"x"}), "ops[0].message.metadata"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_field(value: dict[str, Any], field: str) -> None:
    error = refusal(MSGPACK.decode(msgpack.packb(value)))
    assert (error.code, error.details) == ("bad_request", {"field": field})


@pytest.mark.parametrize(("frame", "size"), [("", 0), ("abc", 3), ("Grüße 🙂", 12), (b"\xff\x00", 2)])
def test_a_frame_is_as_long_as_it_is_on_the_wire(frame: Frame, size: int) -> None:
    assert bytes_of(frame) == size
