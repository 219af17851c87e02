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
StoreUrl = Annotated[str, _option("store", help="Where threads are kept: 'sqlite' (in the state folder) or 'memory'.")]
ChatTemplate = Annotated[
    Path | None, _option("chat-template", help="A Jinja chat template to use instead of the model's own.")
]
LayoutName = Annotated[Layout, _option("layout", help="The KV cache's layout; split is the fast one on CPU.")]
FlashAttention = Annotated[bool, _option("flash-attention/--no-flash-attention", help="Use flash attention.")]
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
