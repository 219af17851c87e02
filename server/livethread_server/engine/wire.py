"""What the server process and the engine process say to each other over a pipe.

One message after the other: see `packing`. Downwards: `Configure` once, then commands about runs
(`Submit`, `CancelRun`), about the KV of threads (`Ingest`, `Warm`, `Evict`, `Pin`, `Forget`), `Embed` with
`CancelEmbed`, and `AskStats`.
Upwards: `Ready` or `Failed` once, then one `Step` per step of the engine with the outputs of all its runs,
and the answers `Settled`, `Stats`, `Embedded` and `EmbedEnded`; a step without anything says that the engine is at
work. Clock readings are ``time.monotonic()`` in seconds, which both processes share.
This module must never know llama.cpp, sockets or stores.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from livethread.errors import ErrorCode
from livethread.model import Reason, Residency, Sampling

Layout = Literal["auto", "split", "unified"]
Pooling = Literal["none", "mean", "cls", "last", "rank"]
"""How the vectors of a text's tokens become one; ``none`` leaves them, ``rank`` is a reranker's own head."""

SIDE = "~"
"""What the ``thread`` of a task's run begins with, which no thread's id does: nobody is told where its KV is."""


def is_side(thread: str) -> bool:
    """Whether it is a task and no thread."""
    return thread.startswith(SIDE)


class Configure(Struct, frozen=True, kw_only=True, tag="configure"):
    """How to load the model. ``context`` is tokens per sequence; ``sequences`` run at once at most.

    ``extra_bufts`` is llama.h's ``use_extra_bufts``: the repacked fast path that dies on some machines.
    ``layout`` auto and ``flash_attention`` None are chosen by what computes, a CPU or a GPU.
    ``step_ms`` is the time one step should take at most; ``threads`` 0 lets the engine choose. ``cells`` is
    KV cells for all sequences together, 0 for sequences × context; in the split layout it decides how many
    sequences there are.

    KV that is not live goes to ``ram_dir`` (a folder in memory that outlives the process, "" for none) and
    to ``cache_dir`` (on disk, "" for none), each with a budget in bytes; a thread that was not used for
    ``idle_after`` seconds is not kept live. ``model_digest`` is a hash of the model file's content.
    ``ingest_tokens`` is how many tokens eager ingestion may hold live beyond what runs use.

    ``task_sequences`` are there beside ``sequences``, for the runs of tasks: neither kind takes the other's.
    """

    model_path: str
    context: int
    sequences: int
    layout: Layout = "auto"
    flash_attention: bool | None = None
    threads: int = 0
    step_ms: float = 100.0
    extra_bufts: bool = True
    gpu_layers: int = 0
    cells: int = 0
    cache_dir: str = ""
    ram_dir: str = ""
    disk_bytes: int = 0
    ram_bytes: int = 0
    idle_after: float = 300.0
    model_digest: str = ""
    ingest_tokens: int = 0
    task_sequences: int = 0


class Submit(Struct, frozen=True, kw_only=True, tag="submit"):
    """Continue ``tokens`` until a stop. ``sampling`` has every field that applies filled in, with a seed;
    its ``grammar`` is GBNF that was proved harmless. ``thread`` names whose sequence to prefer and to leave
    the tokens under; KV is reused from any sequence of the same ``tenant``. The first ``shared`` tokens were
    declared shared by configuration: their KV serves every tenant. ``generated`` was drawn for this run by an
    engine that is gone: it is put into KV one token a step and the sampler is led through it, and what the run says
    begins behind it. ``said`` characters of the run's text were told, where they may be more than those tokens have:
    part of the next one's text may be out before it counts.

    The run of a task is a ``side`` one. Its ``thread`` is `SIDE` and the task's id, which all choices of a task have:
    they begin with the same tokens, and wait for the first one to read them. ``forced`` are tokens that are taken
    instead of being drawn, one a step, and told with their logprobs; behind them the run ends with ``length``.
    """

    run: str
    thread: str
    tenant: str
    tokens: tuple[int, ...]
    sampling: Sampling
    shared: int = 0
    generated: tuple[int, ...] = ()
    said: int = 0
    side: bool = False
    forced: tuple[int, ...] = ()


class CancelRun(Struct, frozen=True, tag="cancel"):
    """Stop a run within one step and say nothing more about it but ``Finished``."""

    run: str


class Forget(Struct, frozen=True, tag="forget"):
    """The thread is gone: drop its KV wherever it is."""

    thread: str


class Ingest(Struct, frozen=True, kw_only=True, tag="ingest"):
    """Make the KV of ``tokens`` ready while nothing else is to be done. Any newer word about the thread
    replaces it; nothing answers it.
    """

    thread: str
    tenant: str
    tokens: tuple[int, ...]
    shared: int = 0


class Warm(Struct, frozen=True, kw_only=True, tag="warm"):
    """Make the KV of ``tokens`` live, as soon as runs leave time; answered by `Settled`."""

    ask: int
    thread: str
    tenant: str
    tokens: tuple[int, ...]
    shared: int = 0


class Evict(Struct, frozen=True, tag="evict"):
    """Put an idle thread's KV on disk and free what it holds live and in RAM; answered by `Settled`."""

    ask: int
    thread: str


class Pin(Struct, frozen=True, tag="pin"):
    """Do not give up the thread's KV while anything else can be; or do so again."""

    thread: str
    pinned: bool


class AskStats(Struct, frozen=True, tag="ask_stats"):
    """Tell what is where; answered by `Stats`."""

    ask: int


class Embed(Struct, frozen=True, kw_only=True, tag="embed"):
    """Turn texts (token ids, special ones included) into vectors, in order and after all runs' needs; each is answered
    by an `Embedded`, all of them by one `EmbedEnded`. Tenants take turns, and what one asks for does.
    """

    ask: int
    texts: tuple[tuple[int, ...], ...]
    pooling: Pooling
    tenant: str = ""


class CancelEmbed(Struct, frozen=True, tag="cancel_embed"):
    """Stop an `Embed` within one step; it still has its `EmbedEnded`."""

    ask: int


Down = Configure | Submit | CancelRun | Forget | Ingest | Warm | Evict | Pin | Embed | CancelEmbed | AskStats


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded and the canary batch survived. ``cells`` are those of ``sequences``; each of
    ``task_sequences`` has ``context`` more. ``generates`` is false for a model that only embeds. ``dimensions`` are of
    its vectors, ``pooling`` is what it was trained with (``none`` where it says nothing), ``embed_tokens`` the longest
    text it embeds, ``ranks`` whether it has a reranker's head.
    """

    context: int
    trained_context: int
    sequences: int
    cells: int
    vocabulary: int
    description: str
    cuttable: bool
    task_sequences: int = 0
    generates: bool = True
    dimensions: int = 0
    pooling: Pooling = "none"
    embed_tokens: int = 0
    ranks: bool = False


class Failed(Struct, frozen=True, tag="failed"):
    """The model cannot be loaded; ``sentence`` says why and what to do. The process ends after it."""

    sentence: str


class Started(Struct, frozen=True, array_like=True):
    """The run has its sequence: ``reused`` of its ``prompt`` tokens were not computed for it, but taken from
    ``live`` sequences, ``ram`` or ``disk``.
    """

    prompt: int
    reused: int
    arrived_at: float
    at: float
    live: int = 0
    ram: int = 0
    disk: int = 0


class Progress(Struct, frozen=True, array_like=True):
    """``cached + processed`` of ``total`` prompt tokens are in KV."""

    cached: int
    processed: int
    total: int


class Logprob(Struct, frozen=True, array_like=True):
    """A token's log-probability by the model's logits, and the ``top`` ones at its place: (token, log-probability),
    the likeliest first.
    """

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Delta(Struct, frozen=True, array_like=True):
    """Text of the run's next ``tokens`` that is wholly out. The run's first delta begins at token 0. ``logprobs`` has
    one for each token, where the run's sampling asked for them; none where not.
    """

    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[Logprob, ...] = ()


class Finished(Struct, frozen=True, array_like=True):
    """The run is over. ``completion`` counts all sampled tokens, the end token included. ``code`` is the kind of the
    ``error`` where it is known: the server itself ended the run, or its sampling leaves nothing to draw.
    """

    reason: Reason
    completion: int
    first_at: float | None
    at: float
    error: str | None = None
    code: ErrorCode | None = None


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
        delta = Delta(
            earlier.delta.tokens + later.delta.tokens,
            earlier.delta.text + later.delta.text,
            earlier.delta.logprobs + later.delta.logprobs,
        )
    return Output(
        earlier.run,
        earlier.started or later.started,
        later.progress or earlier.progress,
        delta,
        later.finished or earlier.finished,
    )


class Moved(Struct, frozen=True, array_like=True):
    """A thread's KV is somewhere else now: the first ``tokens`` of it can be had from there."""

    thread: str
    residency: Residency
    tokens: int


class Step(Struct, frozen=True, tag="step"):
    """Everything one step of the engine has to say."""

    outputs: tuple[Output, ...]
    moved: tuple[Moved, ...] = ()


class Settled(Struct, frozen=True, tag="settled"):
    """The answer to a `Warm` or an `Evict`: where the thread's KV is now."""

    ask: int
    thread: str
    residency: Residency


class Stats(Struct, frozen=True, tag="stats"):
    """The answer to an `AskStats`. ``body`` is documented at ``worker.residency.Residencies.stats``."""

    ask: int
    body: dict[str, Any]


class Embedded(Struct, frozen=True, tag="embedded"):
    """One text's vector: ``rows`` × `Ready.dimensions` little-endian float32, not normalised; one row but for pooling
    ``none``, which has one per token, and ``rank``, whose row is the score alone.
    """

    ask: int
    index: int
    vector: bytes
    rows: int = 1


class EmbedEnded(Struct, frozen=True, tag="embed_ended"):
    """Nothing more comes of an `Embed`; ``error`` says in a sentence why it was not finished, or None."""

    ask: int
    error: str | None = None
    cancelled: bool = False


Up = Ready | Failed | Step | Settled | Stats | Embedded | EmbedEnded
