"""The structs of the wire against the contract's tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.messages import (
    COMMANDS,
    EVENTS,
    SUMMARIES,
    Append,
    Delete,
    DurableEvent,
    Edit,
    Empty,
    ErrorBody,
    Insert,
    Truncate,
)

COMMAND_FIELDS = {
    "hello": "token client protocol",
    "ping": "",
    "watch": "",
    "thread.create": "thread model title messages sampling metadata overflow pinned if_exists",
    "thread.get": "thread before limit",
    "thread.list": "limit cursor",
    "thread.update": "thread title model sampling metadata overflow pinned expect_version",
    "thread.delete": "thread",
    "thread.fork": "thread at new_thread title",
    "thread.share": "thread principal invite role expires_s",
    "subscribe": "thread since",
    "unsubscribe": "thread",
    "mutate": "thread ops expect_version key if_busy",
    "generate": "thread ops run mode sampling if_busy on_disconnect timeout_ms expect_version key",
    "draft": "thread text",
    "warm": "thread",
    "evict": "thread",
    "presence": "thread typing",
    "cancel": "run",
    "runs": "thread",
    "task.create": "kind input task timeout_ms key stream",
    "task.get": "task wait_ms",
    "task.list": "kind state limit cursor",
    "task.cancel": "task",
}
OK_FIELDS = {
    "warm": "residency",
    "evict": "residency",
    "hello": "server version session principal models limits",
    "thread.create": "thread",
    "thread.get": "thread run more",
    "thread.list": "threads cursor",
    "thread.update": "version",
    "thread.fork": "thread",
    "thread.share": "invite expires_at",
    "subscribe": "epoch seq version recovered thread more events run",
    "mutate": "version messages reuse",
    "generate": "run message messages version position",
    "cancel": "run state",
    "runs": "runs",
    "task.create": "task",
    "task.get": "task",
    "task.list": "tasks cursor",
    "task.cancel": "task state",
}
EVENT_FIELDS = {
    "thread.updated": "title model sampling metadata overflow pinned updated_at by",
    "thread.deleted": "by",
    "thread.mutated": "ops by updated_at",
    "run.queued": "run position",
    "run.started": "run message model instance prompt_tokens reused_tokens sources dropped sampling by",
    "run.recovered": "run message to text content",
    "run.finished": "run reason message usage timings error",
    "run.progress": "run cached processed total",
    "run.delta": "run from to text logprobs",
    "thread.residency": "residency",
    "presence": "here total",
    "thread.created": "summary",
}
SUMMARY_FIELDS = {"thread.created": "summary", "thread.updated": "summary", "thread.deleted": ""}
DURABLE = {"thread.updated", "thread.deleted", "thread.mutated", "run.queued", "run.started"}
DURABLE |= {"run.recovered", "run.finished"}


def fields(kind: Any) -> set[str]:
    return {info.encode_name for info in msgspec.structs.fields(kind)}


def test_every_command_of_the_contract_has_a_struct_with_its_fields() -> None:
    assert {name: fields(kind) for name, kind in COMMANDS.items()} == {
        name: {"id", *words.split()} for name, words in COMMAND_FIELDS.items()
    }


@pytest.mark.parametrize("name", COMMAND_FIELDS)
def test_every_command_is_answered_with_the_fields_of_the_contract(name: str) -> None:
    assert fields(COMMANDS[name].Ok) == set(OK_FIELDS.get(name, "").split())
    assert (COMMANDS[name].Ok is Empty) is (name not in OK_FIELDS)


def test_every_event_of_the_contract_has_a_struct_with_its_fields() -> None:
    common = {name: "thread seq version" if name in DURABLE else "thread" for name in EVENT_FIELDS}
    assert {name: fields(kind) for name, kind in EVENTS.items()} == {
        name: {*common[name].split(), *words.split()} for name, words in EVENT_FIELDS.items()
    }
    assert {name for name, kind in EVENTS.items() if issubclass(kind, DurableEvent)} == DURABLE


def test_those_who_watch_are_told_summaries_without_a_seq() -> None:
    assert {name: fields(kind) for name, kind in SUMMARIES.items()} == {
        name: {"thread", *words.split()} for name, words in SUMMARY_FIELDS.items()
    }
    assert not any(issubclass(kind, DurableEvent) for kind in SUMMARIES.values())


def test_ops_have_the_names_of_the_contract() -> None:
    kinds = (Append, Insert, Edit, Delete, Truncate)
    assert {str(kind.__struct_config__.tag): fields(kind) for kind in kinds} == {
        "append": {"message"},
        "insert": {"before", "message"},
        "edit": {"message", "content"},
        "delete": {"message"},
        "truncate": {"after"},
    }


def test_a_refusal_survives_the_wire() -> None:
    body = ErrorBody.of(CommandError(ErrorCode.BUSY, "A run is writing.", run="r1"))
    assert body == ErrorBody("busy", "A run is writing.", True, {"run": "r1"})
    again = body.as_exception()
    assert (again.code, again.message, again.details) == (ErrorCode.BUSY, "A run is writing.", {"run": "r1"})


def test_a_code_of_a_newer_server_counts_as_internal() -> None:
    error = ErrorBody("teapot", "No coffee.", False, {"field": "x"}).as_exception()
    assert (error.code, error.details) == (ErrorCode.INTERNAL, {"field": "x", "code": "teapot"})
