"""What the server process and the engine process say to each other over a pipe.

MessagePack values back to back, one per message. Downwards: `Configure` once, then `Submit`, `CancelRun`
and `Forget`. Upwards: `Ready` or `Failed` once, then one `Step` per step of the engine with the outputs of
all its runs. Clock readings are ``time.monotonic()`` in seconds, which both processes share.
This module must never know llama.cpp, sockets or stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgpack
import msgspec
from msgspec import Struct

from livethread.model import Reason, Residency, Sampling

Layout = Literal["split", "unified"]


class Configure(Struct, frozen=True, kw_only=True, tag="configure"):
    """How to load the model. ``context`` is tokens per sequence; ``sequences`` run at once at most.

    ``extra_bufts`` is llama.h's ``use_extra_bufts``: the repacked fast path that dies on some machines.
    ``step_ms`` is the time one step should take at most; ``threads`` 0 lets the engine choose.
    """

    model_path: str
    context: int
    sequences: int
    layout: Layout = "split"
    flash_attention: bool = False
    threads: int = 0
    step_ms: float = 100.0
    extra_bufts: bool = True
    gpu_layers: int = 0


class Submit(Struct, frozen=True, kw_only=True, tag="submit"):
    """Continue ``tokens`` until a stop. ``sampling`` has every field that applies filled in, with a seed;
    its ``grammar`` is GBNF that was proved harmless. ``thread`` names whose sequence to prefer and to leave
    the tokens under; KV is reused from any sequence of the same ``tenant``.
    """

    run: str
    thread: str
    tenant: str
    tokens: tuple[int, ...]
    sampling: Sampling


class CancelRun(Struct, frozen=True, tag="cancel"):
    """Stop a run within one step and say nothing more about it but ``Finished``."""

    run: str


class Forget(Struct, frozen=True, tag="forget"):
    """The thread is gone: drop its idle sequence."""

    thread: str


Down = Configure | Submit | CancelRun | Forget


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded and the canary batch survived."""

    context: int
    trained_context: int
    sequences: int
    cells: int
    vocabulary: int
    description: str
    cuttable: bool


class Failed(Struct, frozen=True, tag="failed"):
    """The model cannot be loaded; ``sentence`` says why and what to do. The process ends after it."""

    sentence: str


class Started(Struct, frozen=True, array_like=True):
    """The run has its sequence: ``reused`` of its ``prompt`` tokens were in KV already."""

    prompt: int
    reused: int
    arrived_at: float
    at: float


class Progress(Struct, frozen=True, array_like=True):
    """``cached + processed`` of ``total`` prompt tokens are in KV."""

    cached: int
    processed: int
    total: int


class Delta(Struct, frozen=True, array_like=True):
    """Text of the run's next ``tokens`` that is wholly out. The run's first delta begins at token 0."""

    tokens: tuple[int, ...]
    text: str


class Finished(Struct, frozen=True, array_like=True):
    """The run is over. ``completion`` counts all sampled tokens, the end token included."""

    reason: Reason
    completion: int
    first_at: float | None
    at: float
    error: str | None = None


class Output(Struct, frozen=True, array_like=True):
    """What one step has to say about one run, in the order of the fields."""

    run: str
    started: Started | None = None
    progress: Progress | None = None
    delta: Delta | None = None
    finished: Finished | None = None


def merged(earlier: Output, later: Output) -> Output:
    """One output that says what two of the same run say: deltas joined, the last progress kept."""
    delta = later.delta or earlier.delta
    if earlier.delta and later.delta:
        delta = Delta(earlier.delta.tokens + later.delta.tokens, earlier.delta.text + later.delta.text)
    return Output(
        earlier.run,
        earlier.started or later.started,
        later.progress or earlier.progress,
        delta,
        later.finished or earlier.finished,
    )


class Moved(Struct, frozen=True, array_like=True):
    """A thread's KV is somewhere else now."""

    thread: str
    residency: Residency
    tokens: int


class Step(Struct, frozen=True, tag="step"):
    """Everything one step of the engine has to say."""

    outputs: tuple[Output, ...]
    moved: tuple[Moved, ...] = ()


Up = Ready | Failed | Step

_DOWN: Any = Down
_UP: Any = Up


class GrammarQuestion(Struct, frozen=True, tag="question"):
    """May the engine use this grammar? GBNF or a JSON Schema (as JSON); the other one is None."""

    number: int
    grammar: str | None
    json_schema: str | None


class GrammarVerdict(Struct, frozen=True, tag="verdict"):
    """The proved GBNF of the question with this number, or why it is refused, without a full stop.

    ``final`` tells whether the same question would be answered the same.
    """

    number: int
    gbnf: str | None = None
    refusal: str | None = None
    final: bool = True


def pack(message: Down | Up | GrammarQuestion | GrammarVerdict) -> bytes:
    """Turn one message into the bytes that go through the pipe."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(message, str_keys=True))
    return packed


class Unpacker:
    """Turns the bytes of a pipe, in whatever pieces they come, into messages."""

    def __init__(self, kind: Any) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=1 << 30)
        self._kind = kind

    def feed(self, data: bytes) -> Iterator[Any]:
        """Give bytes, take the messages that they complete."""
        self._unpacker.feed(data)
        for plain in self._unpacker:
            yield msgspec.convert(plain, self._kind, str_keys=True)


def unpack_down() -> Unpacker:
    """What the engine process reads with."""
    return Unpacker(_DOWN)


def unpack_up() -> Unpacker:
    """What the server process reads with."""
    return Unpacker(_UP)


def unpack_questions() -> Unpacker:
    """What the grammar process reads with."""
    return Unpacker(GrammarQuestion)


def unpack_verdicts() -> Unpacker:
    """What the server process reads the grammar process with."""
    return Unpacker(GrammarVerdict)
