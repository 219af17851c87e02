"""The protocol's description against the codec: its examples are right, and it is complete."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import pytest
from msgspec import Struct

from livethread.codec import CODECS, MsgpackCodec, convert, to_command, to_event, to_reply, to_task_event
from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread.messages import COMMANDS, EVENTS, SUMMARIES, TASK_EVENTS, ErrorBody, Here, Reply, Since
from livethread.model import Message, Reason, Run, Sampling, Sources, Thread, Timings, Usage
from livethread.tasks import (
    RESULTS,
    ApplyTemplateInput,
    ChatCompletionInput,
    ChatTurn,
    Choice,
    CountTokensInput,
    DetokenizeInput,
    Embedding,
    EmbeddingInput,
    LabelScore,
    Ranked,
    RerankInput,
    ResponseFormat,
    Task,
    TaskProgress,
    TextClassificationInput,
    TextCompletionInput,
    TokenizeInput,
    TokenPiece,
)
from tests.spec import ANY, SPEC, Block, Step, blocks, conversations, filled, matches, named

TEXT = SPEC.read_text()
EXAMPLES = blocks("json")
TOLD = [step for steps in conversations() for step in steps if step.frame and not step.client]


def names(kind: Any) -> set[str]:
    return {info.encode_name for info in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.about)
def test_every_example_is_what_the_codec_says(block: Block) -> None:
    plain = json.loads(block.body)
    role, _, about = block.about.partition(" ")
    typed: Any
    if role == "command":
        typed = to_command(plain)
    elif role == "event":
        typed = to_task_event(plain) or to_event(plain)
        assert typed is not None
    else:
        assert role == "reply"
        typed = to_reply(plain)
        if about:
            typed = Reply(id=typed.id, ok=convert(typed.ok, COMMANDS[about].Ok))
    for codec in CODECS.values():
        again = codec.decode(codec.encode(typed))
        assert again == plain if role != "command" else to_command(again) == typed


def test_the_bytes_of_the_msgpack_example_are_right() -> None:
    (block,) = blocks("msgpack")
    assert MsgpackCodec().decode(bytes.fromhex(block.body)) == json.loads(block.about)


@pytest.mark.parametrize("steps", conversations())
def test_what_clients_say_in_conversations_is_a_command_or_refused_as_told(steps: list[Step]) -> None:
    told = [step.frame for step in steps if not step.client and step.frame]
    for asked in (step.frame for step in steps if step.client):
        try:
            to_command(asked)
        except CommandError as error:
            body = msgspec.to_builtins(ErrorBody.of(error))
            assert any(matches(frame, {"type": "reply", "id": asked["id"], "error": body}) for frame in told)


@pytest.mark.parametrize("step", TOLD)
def test_what_the_server_says_in_conversations_has_known_fields(step: Step) -> None:
    frame = step.frame
    told: Mapping[str, type[Struct]] = SUMMARIES if "summary" in frame else {**EVENTS, **TASK_EVENTS}
    kind = Reply if frame["type"] == "reply" else told[frame["type"]]
    assert set(frame) <= names(kind) | {"type", ANY}
    if "error" in frame:
        assert frame["error"].keys() == names(ErrorBody)
        assert frame["error"]["retryable"] is ErrorCode(frame["error"]["code"]).retryable


def test_every_conversation_answers_every_command_once() -> None:
    for steps in conversations():
        asked = [step.frame["id"] for step in steps if step.client]
        told = [step.frame["id"] for step in steps if not step.client and step.frame and "id" in step.frame]
        assert asked == sorted(set(asked))
        assert told == asked


INPUTS = (
    *(ChatCompletionInput, TextCompletionInput, EmbeddingInput, RerankInput, TextClassificationInput),
    *(TokenizeInput, DetokenizeInput, CountTokensInput, ApplyTemplateInput),
)
WORDS = {
    *COMMANDS,
    *EVENTS,
    *(code.value for code in ErrorCode),
    *get_args(Reason),
    *names(Sampling),
    *names(Thread),
    *names(Message),
    *(name for kind in COMMANDS.values() for name in names(kind) - {"id"}),
    *(name for kind in COMMANDS.values() for name in names(kind.Ok) - {"events"}),
    *TASK_EVENTS,
    *(name for kind in TASK_EVENTS.values() for name in names(kind)),
    *RESULTS,
    *(name for kind in RESULTS.values() for name in names(kind)),
    *(name for kind in INPUTS for name in names(kind)),
    *(name for kind in (*EVENTS.values(), *SUMMARIES.values()) for name in names(kind) - {"thread", "seq", "version"}),
}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_name_of_the_wire_is_described(word: str) -> None:
    assert f"`{word}`" in TEXT


SMALL = [Task, TaskProgress, Choice, ResponseFormat, Embedding, Ranked, LabelScore, TokenPiece, ChatTurn]


@pytest.mark.parametrize("kind", [*SMALL, Run, Usage, Timings, Sources, Since, Here])
def test_small_objects_are_described_with_their_fields(kind: Any) -> None:
    assert f"`{{{', '.join(kind.__struct_fields__)}}}`" in TEXT


def test_every_close_code_is_described() -> None:
    closes = TEXT[TEXT.index("## Closes") : TEXT.index("## Limits")]
    assert {int(code) for code in re.findall(r"\b\d{4}\b", closes)} - {4500} == set(CloseCode) - {4500}
    assert "| 4500 |" in closes


def test_every_retryable_code_is_told_as_such() -> None:
    for code in ErrorCode:
        assert f"| `{code}` | {'yes' if code.retryable else 'no'} |" in TEXT


def test_placeholders_stand_for_any_value_and_for_fields_left_out() -> None:
    assert matches({"a": ANY, "b": [1]}, {"a": {"x": 1}, "b": [1]})
    assert matches({"a": 1, ANY: ANY}, {"a": 1, "b": 2})
    assert not matches({"a": 1}, {"a": 1, "b": 2})
    assert not matches({"a": 1, ANY: ANY}, {"b": 2})
    assert not matches({"a": [1]}, {"a": [1, 2]})
    assert not matches({"a": True}, {"a": 1})


def test_names_stand_for_the_values_that_they_were_given() -> None:
    example = {"a": ["$x", 1], "b": {"c": "$y", ANY: ANY}}
    got = {"a": [7, 1], "b": {"c": "e", "d": 2}}
    assert matches(example, got)
    assert named(example, got) == {"$x": 7, "$y": "e"}
    assert filled(example, named(example, got)) == {"a": [7, 1], "b": {"c": "e", ANY: ANY}}
