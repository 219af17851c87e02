"""The sentences that answer a command which does not fit."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livethread.codec import to_command
from livethread.errors import CommandError
from tests.commands import append, create, generate, refusal

SENTENCES = [
    (
        {"type": "sing", "id": 1},
        "type",
        "There is no command of type 'sing'. Known types: hello, ping, watch, thread.create, thread.get, "
        "thread.list, thread.update, thread.delete, thread.share, thread.fork, subscribe, unsubscribe, mutate, "
        "generate, draft, warm, evict, cancel, runs, presence, task.create, task.get, task.list, task.cancel.",
    ),
    (
        {"id": 1},
        "type",
        "Field 'type' must be a string that names the command, such as 'generate'.",
    ),
    (
        {"type": "cancel", "id": 1, "run": "a b"},
        "run",
        "Field 'run' of cancel must be an id, 1 to 64 letters, digits, '-' or '_', not 'a b'.",
    ),
    (
        {"type": "cancel", "id": 1, "run": "x" * 65},
        "run",
        "Field 'run' of cancel must be an id, 1 to 64 letters, digits, '-' or '_', not"
        " 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'.",
    ),
    ({"type": "cancel", "id": 1}, "run", "Field 'run' of cancel is missing. Add it."),
    (
        {"type": "cancel", "id": 1, "run": "r", "why": 1},
        "why",
        "There is no field 'why' in cancel. Leave it out; known here: id, run.",
    ),
    (
        {"type": "generate", "id": 1, "thread": "t", "mode": "sing"},
        "mode",
        "Field 'mode' of generate must be one of 'reply', 'continue', 'regenerate', not 'sing'.",
    ),
    (
        {"type": "hello", "id": 1, "protocol": 2},
        "protocol",
        "Field 'protocol' of hello must be 1, not 2.",
    ),
    (
        {"type": "mutate", "id": 1, "thread": "t", "ops": []},
        "ops",
        "Field 'ops' of mutate must have at least 1 item, not 0.",
    ),
    (
        {"type": "mutate", "id": 1, "thread": "t", "ops": [{"op": "sing"}]},
        "ops[0].op",
        "Field 'ops[0].op' of mutate must be one of 'append', 'insert', 'edit', 'delete', 'truncate', not 'sing'.",
    ),
    (
        append(role="bot"),
        "ops[0].message.role",
        "Field 'ops[0].message.role' of mutate must be one of 'system', 'user', 'assistant', 'tool', not 'bot'.",
    ),
    (
        append(mood="good"),
        "ops[0].message.mood",
        "There is no field 'ops[0].message.mood' in mutate. Leave it out; known here: role, content, id, metadata.",
    ),
    (
        create(title="x" * 300),
        "title",
        "Field 'title' of thread.create must have at most 256 characters, not 300.",
    ),
    (
        create(pinned="yes"),
        "pinned",
        "Field 'pinned' of thread.create must be true or false or null, not 'yes'.",
    ),
    (
        generate(max_tokens=0),
        "sampling.max_tokens",
        "Field 'sampling.max_tokens' of generate must be at least 1, not 0.",
    ),
    (
        generate(max_tokens=True),
        "sampling.max_tokens",
        "Field 'sampling.max_tokens' of generate must be an integer or null, not true.",
    ),
    (
        generate(temperature=math.nan),
        "sampling.temperature",
        "Field 'sampling.temperature' of generate must be at least 0, not a number that is not finite or out of range.",
    ),
    (
        generate(seed=1 << 80),
        "sampling.seed",
        "Field 'sampling.seed' of generate must be at most 4294967294, not an integer of 81 bits.",
    ),
    (
        generate(logit_bias={"x": 1}),
        "sampling.logit_bias",
        "The keys of field 'sampling.logit_bias' of generate must be integers written as strings. Send them so.",
    ),
    (
        generate(logit_bias={"1": 5000}),
        "sampling.logit_bias[...]",
        "Field 'sampling.logit_bias[...]' of generate must be at most 1000.",
    ),
    (
        generate(stop="END"),
        "sampling.stop",
        "Field 'sampling.stop' of generate must be a list or null, not 'END'.",
    ),
]


@pytest.mark.parametrize(("plain", "field", "sentence"), SENTENCES)
def test_a_refusal_names_the_field_the_value_and_what_would_be_right(
    plain: dict[str, Any], field: str, sentence: str
) -> None:
    error = refusal(plain)
    assert (error.code, error.message, error.details["field"]) == ("bad_request", sentence, field)


def test_an_unknown_sampling_field_is_named_and_the_known_ones_listed() -> None:
    error = refusal(generate(heat=1))
    assert error.details == {"field": "sampling.heat"}
    assert error.message.startswith("There is no field 'sampling.heat'. Leave it out; sampling knows max_tokens, ")


NAMES = [
    "type",
    "id",
    "thread",
    "ops",
    "op",
    "message",
    "role",
    "content",
    "sampling",
    "stop",
    "metadata",
    "a",
    "json_schema",
]
CRAFTED = ["x` - at `$.id", "y` - at `$.ops[²]", "z` - at `key` in `$.thread", "x` - at `$.ops[99999]"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=3)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["", "t", "generate", "append", *CRAFTED]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, *CRAFTED]), inner, max_size=5),
    max_leaves=12,
)


@given(VALUES, st.sampled_from(["generate", "mutate", "thread.create", "thread.update", "hello"]))
def test_no_map_does_anything_but_become_a_command_or_a_refusal(value: Any, kind: str) -> None:
    plain = value if isinstance(value, dict) else {"ops": value, "metadata": value, "thread": "t"}
    try:
        command = to_command({**plain, "id": 1, "type": kind})
    except CommandError as error:
        sentence = error.message
    else:
        sentence = "."
        json.dumps(msgspec.to_builtins(command, str_keys=True), allow_nan=False)
    assert sentence.endswith(".")
    assert len(sentence) < 1500
