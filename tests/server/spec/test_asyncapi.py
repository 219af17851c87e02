from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from livethread.codec import JsonCodec
from livethread.errors import CommandError, ErrorCode
from livethread.messages import COMMANDS, EVENTS, SUMMARIES, TASK_EVENTS, Empty, ErrorBody, RunDelta, Subscribe
from livethread_server.spec.asyncapi import asyncapi

ROOT = Path(__file__).parents[3]
OFFICIAL = ROOT / "webclient/node_modules/@asyncapi/specs/schemas/3.0.0.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi("1.2.3")


def validator(document: dict[str, Any], name: str) -> jsonschema_rs.Validator:
    payload = document["components"]["messages"][name]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": document["components"]})


def test_it_is_asyncapi_as_its_authors_define_it(document: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(msgspec.json.decode(OFFICIAL.read_bytes())).validate(document)


def test_every_message_of_the_wire_is_there_and_described(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    told = {f"event.{name}" for name in (*EVENTS, *TASK_EVENTS)}
    told |= {f"event.watch.{name}" for name in SUMMARIES if name in EVENTS and EVENTS[name] is not SUMMARIES[name]}
    assert set(messages) == {*COMMANDS, *(f"{name}.ok" for name in COMMANDS), "error", *told}
    assert all(message["summary"] for message in messages.values())


def test_every_command_has_its_reply_or_a_refusal(document: dict[str, Any]) -> None:
    for name in COMMANDS:
        answers = [one["$ref"].rpartition("/")[2] for one in document["operations"][name]["reply"]["messages"]]
        assert answers == [f"{name}.ok", "error"]


def test_what_the_codec_writes_fits_the_document(document: dict[str, Any]) -> None:
    codec = JsonCodec()
    delta = codec.decode(codec.encode(RunDelta(thread="t", run="r", start=0, to=2, text="Hi")))
    assert validator(document, "event.run.delta").is_valid(delta)
    assert not validator(document, "event.run.delta").is_valid({**delta, "to": "2"})
    error = ErrorBody.of(CommandError(ErrorCode.BUSY, "It is busy. Wait."))
    refused = {"type": "reply", "id": 1, "error": msgspec.to_builtins(error)}
    assert validator(document, "error").is_valid(refused)
    assert validator(document, "ping.ok").is_valid({"type": "reply", "id": 1, "ok": msgspec.to_builtins(Empty())})


def test_a_command_with_an_unknown_field_does_not_fit(document: dict[str, Any]) -> None:
    command = msgspec.to_builtins(Subscribe(id=1, thread="t"))
    assert validator(document, "subscribe").is_valid(command)
    assert not validator(document, "subscribe").is_valid({**command, "colour": "red"})
