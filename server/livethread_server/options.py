"""The options of the command line: each setting's flag, variable, bounds and one line of help.

It must never know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from livethread_server.engine.wire import Layout


def _option(name: str, **more: Any) -> Any:
    return typer.Option(f"--{name}", envvar=_variable(name), **more)


def _variable(name: str) -> str:
    return "LIVETHREAD_" + name.partition("/")[0].upper().replace("-", "_")


Host = Annotated[str, _option("host", help="The loopback address to listen on.")]
Port = Annotated[int, _option("port", min=1, max=65535, help="The port to listen on.")]
StateDir = Annotated[
    Path | None,
    _option("state-dir", help="The folder for all that the server keeps.", show_default="the user's state folder"),
]
ModelsDir = Annotated[
    Path | None,
    _option("models-dir", help="The folder for model files.", show_default="the user's cache folder"),
]
Model = Annotated[str, _option("model", help="The model: a name of the catalogue, or a GGUF file's path.")]
Context = Annotated[
    int,
    _option("context", min=64, max=1 << 20, help="Tokens of a thread's context; the model's own limit holds too."),
]
Sequences = Annotated[int, _option("sequences", min=1, max=250, help="Threads with a live context, and runs at once.")]
KvCells = Annotated[
    int,
    _option("kv-cells", min=0, max=1 << 26, help="KV cells of all live contexts together; 0 for sequences × context."),
]
RamCache = Annotated[
    str, _option("ram-cache", help="Bytes of contexts kept in memory beside the live ones; 0 for none.")
]
DiskCache = Annotated[str, _option("disk-cache", help="Bytes of contexts kept in the state folder; 0 for none.")]
IdleAfter = Annotated[
    float, _option("idle-after", min=0, max=1e9, help="Seconds without a run after which a context is not kept live.")
]
IngestTokens = Annotated[
    int, _option("ingest-tokens", min=0, max=1 << 26, help="Tokens that may be held live for what was read ahead.")
]
SystemPrompt = Annotated[
    Path | None,
    _option("system-prompt", help="A file with the system prompt of new threads that bring none; its KV is shared."),
]
StoreUrl = Annotated[str, _option("store", help="Where threads are kept: 'sqlite' (in the state folder) or 'memory'.")]
ChatTemplate = Annotated[
    Path | None, _option("chat-template", help="A Jinja chat template to use instead of the model's own.")
]
LayoutName = Annotated[
    Layout, _option("layout", help="The KV cache's layout; auto is split on a CPU and unified on a GPU.")
]
FlashAttention = Annotated[
    bool | None,
    _option("flash-attention/--no-flash-attention", help="Flash attention; unless said, on a GPU only."),
]
Repack = Annotated[
    bool,
    _option("repack/--no-repack", help="Try llama.cpp's repacked weights first, which do not work on some machines."),
]
Threads = Annotated[int, _option("threads", min=0, max=1024, help="OS threads of the engine; 0 lets it choose.")]
GpuLayers = Annotated[
    int, _option("gpu-layers", min=0, max=10_000, help="Layers on a GPU, where llama.cpp was built for one.")
]
StepMs = Annotated[
    float, _option("step-ms", min=5, max=10_000, help="Milliseconds one step of the engine should take.")
]
QueuedRuns = Annotated[
    int, _option("queued-runs", min=0, max=100_000, help="Runs that may wait; more get 'queue_full'.")
]
Subscriptions = Annotated[
    int, _option("subscriptions", min=1, max=100_000, help="Threads one session may subscribe to.")
]
OutboxBytes = Annotated[
    int,
    _option(
        "outbox-bytes",
        min=1 << 16,
        max=1 << 30,
        help="Bytes that may wait for one reader until it is closed.",
    ),
]
AllowHost = Annotated[list[str] | None, _option("allow-host", help="Another Host name to answer to. May be repeated.")]
AllowOrigin = Annotated[
    list[str] | None, _option("allow-origin", help="Another Origin of pages to allow. May be repeated.")
]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], _option("log-level", help="What is logged.")]
