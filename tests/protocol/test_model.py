"""The values both ends talk about."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from livethread.model import STATE_OF_REASON, Message, MessageState, Reason, Sampling, Thread


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_leaves_a_message_in_a_state(reason: Reason) -> None:
    assert STATE_OF_REASON[reason] in get_args(MessageState)


def test_sampling_travels_only_where_it_was_given() -> None:
    assert msgspec.to_builtins(Sampling(temperature=0, seed=1)) == {"temperature": 0, "seed": 1}


def test_sampling_of_a_newer_server_can_be_read() -> None:
    assert msgspec.convert({"seed": 1, "vibe": "calm"}, Sampling) == Sampling(seed=1)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("max_tokens", 1, 0),
        ("temperature", 0.0, -0.1),
        ("temperature", 100.0, float("inf")),
        ("top_p", 1.0, float("nan")),
        ("seed", (1 << 32) - 2, (1 << 32) - 1),
        ("repeat_penalty", 0.1, 0.0),
        ("repeat_last_n", 1 << 20, 1 << 31),
        ("dry_penalty_last_n", 1 << 20, -1),
        ("dry_base", 1.0, float("nan")),
        ("stop", ["a"] * 16, ["a"] * 17),
        ("stop", ["a"], [""]),
        ("logit_bias", {"5": -1000}, {"-1": 0}),
        ("logit_bias", {"5": 1000}, {"5": float("-inf")}),
        ("logprobs", 20, 21),
        ("mirostat", 2, 3),
    ],
)
def test_every_number_that_may_reach_c_has_bounds(field: str, good: Any, bad: Any) -> None:
    msgspec.convert({field: good}, Sampling, str_keys=True)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({field: bad}, Sampling, str_keys=True)


def test_objects_have_the_fields_of_the_wire() -> None:
    thread = "id title model version seq epoch messages sampling metadata overflow pinned owner residency"
    assert [*Thread.__struct_fields__] == [*thread.split(), "forked_from", "created_at", "updated_at"]
    message = "id role content state by run reason usage timings metadata created_at"
    assert [*Message.__struct_fields__] == message.split()
