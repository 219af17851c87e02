"""What both ends talk about: threads, messages, runs, and how to sample.

Plain frozen values in the shapes of the wire. This module must never know commands, encodings or I/O.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

FRAME_BYTES = 1 << 20
"""The largest frame, in bytes."""
MESSAGE_BYTES = 256 << 10
"""The largest content of one message, in UTF-8 bytes; also the size of a snapshot."""
METADATA_BYTES = 4 << 10
"""The largest metadata of a message or a thread, in bytes of JSON."""
TITLE_CHARACTERS = 256

Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Role = Literal["system", "user", "assistant", "tool"]
Overflow = Literal["error", "drop_oldest"]
Mode = Literal["reply", "continue", "regenerate"]
MessageState = Literal["queued", "streaming", "done", "cancelled", "interrupted", "failed"]
RunState = Literal["queued", "running", "finished"]
Reason = Literal[
    "stop", "stop_string", "length", "context", "tool_calls", "cancelled", "timeout", "interrupted", "error"
]
Residency = Literal["live", "ram", "disk", "cold"]
Metadata = dict[str, Any]

Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-100, le=100)]
LastN = Annotated[int, Meta(ge=0, le=1 << 20)]

STATE_OF_REASON: dict[Reason, MessageState] = {
    "stop": "done",
    "stop_string": "done",
    "length": "done",
    "context": "done",
    "tool_calls": "done",
    "cancelled": "cancelled",
    "timeout": "cancelled",
    "interrupted": "interrupted",
    "error": "failed",
}
"""The state a message is left in by the reason its run finished with."""


class Sampling(Struct, frozen=True, omit_defaults=True):
    """How to draw tokens. A field that is None was not given: the thread's or the model's value holds.
    Unknown fields are ignored here, for clients; ``codec`` refuses them in commands.

    ``temperature`` 0 is greedy. ``logit_bias`` maps a token id to what is added to its logit.
    ``seed`` ends at 2³²−2 because llama.h's LLAMA_DEFAULT_SEED (2³²−1) means "random".
    ``logprobs`` asks how likely each token was, and for so many alternatives; 0 for none of them.
    """

    max_tokens: Annotated[int, Meta(ge=1, le=(1 << 31) - 1)] | None = None
    stop: (
        Annotated[
            tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
            Meta(max_length=16),
        ]
        | None
    ) = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=(1 << 31) - 1)] | None = None
    top_p: Probability | None = None
    min_p: Probability | None = None
    typical_p: Probability | None = None
    xtc_probability: Probability | None = None
    xtc_threshold: Probability | None = None
    dry_multiplier: Annotated[float, Meta(ge=0, le=100)] | None = None
    dry_base: Annotated[float, Meta(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=0, le=1 << 20)] | None = None
    dry_penalty_last_n: LastN | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    repeat_last_n: LastN | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=100)] | None = None
    mirostat_eta: Probability | None = None
    logit_bias: (
        Annotated[
            dict[Annotated[int, Meta(ge=0, le=999_999_999)], Annotated[float, Meta(ge=-1000, le=1000)]],
            Meta(max_length=1024, extra_json_schema={"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,8})$"}}),
        ]
        | None
    ) = None
    seed: Annotated[int, Meta(ge=0, le=(1 << 32) - 2)] | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class Alternative(Struct, frozen=True):
    """A token that might have been drawn. ``text`` is what of it is whole UTF-8, ``bytes`` what it is made of."""

    token: int
    text: str
    bytes: tuple[int, ...]
    logprob: float


class TokenLogprob(Struct, frozen=True):
    """A token that was drawn and the natural logarithm of its probability by the model's own logits, before any
    sampling; ``top`` are the most likely ones at its place, the likeliest first."""

    token: int
    text: str
    bytes: tuple[int, ...]
    logprob: float
    top: tuple[Alternative, ...] = ()


class Principal(Struct, frozen=True):
    """Who acts: the ``by`` of messages and events."""

    id: str
    name: str


class Usage(Struct, frozen=True):
    """Tokens of one run. End-of-generation tokens count in ``completion_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int


class Sources(Struct, frozen=True):
    """Where the reused tokens of one run's prompt came from, in tokens: live contexts, memory, or disk."""

    live: int = 0
    ram: int = 0
    disk: int = 0


class Timings(Struct, frozen=True):
    """Milliseconds of one run.

    ``queue_ms`` from acceptance to start, ``prompt_ms`` from start to the first sample,
    ``first_token_ms`` from acceptance to the first sample, ``generate_ms`` from there to the end.
    """

    queue_ms: float
    prompt_ms: float
    first_token_ms: float
    generate_ms: float


class Message(Struct, frozen=True, kw_only=True):
    """One turn of a thread. Ids are unique within the thread."""

    id: str
    role: Role
    content: str
    state: MessageState = "done"
    by: Principal | None = None
    run: str | None = None
    reason: Reason | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    metadata: Metadata = {}
    created_at: str


class Fork(Struct, frozen=True):
    """Where a thread was forked from."""

    thread: str
    at: str | None


class Thread(Struct, frozen=True, kw_only=True):
    """A conversation that lives on the server. ``messages`` is empty in lists and summaries."""

    id: str
    title: str | None = None
    model: str
    version: int
    seq: int
    epoch: str
    messages: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    metadata: Metadata = {}
    overflow: Overflow = "error"
    pinned: bool = False
    owner: str
    residency: Residency = "cold"
    forked_from: Fork | None = None
    created_at: str
    updated_at: str


class Run(Struct, frozen=True, kw_only=True):
    """One generation that writes one assistant message. ``position`` counts the runs ahead of it."""

    id: str
    thread: str
    message: str
    mode: Mode
    state: RunState
    reason: Reason | None = None
    position: int = 0
    by: Principal
