"""The options of the command line: each setting's flag, variable, bounds and one line of help.

It must never know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from livethread_server.engine.wire import Layout
from livethread_server.logs import LogFormat
from livethread_server.settings import AuthMode, OnRestart


def _option(name: str, **more: Any) -> Any:
    return typer.Option(f"--{name}", envvar=_variable(name), **more)


def _variable(name: str) -> str:
    return "LIVETHREAD_" + name.partition("/")[0].upper().replace("-", "_")


Host = Annotated[str, _option("host", help="The address to listen on; a loopback one, unless there is --auth.")]
Port = Annotated[int, _option("port", min=1, max=65535, help="The port to listen on.")]
StateDir = Annotated[
    Path | None,
    _option("state-dir", help="The folder for all that the server keeps.", show_default="the user's state folder"),
]
ModelsDir = Annotated[
    Path | None,
    _option("models-dir", help="The folder for model files.", show_default="the user's cache folder"),
]
Model = Annotated[
    str, _option("model", help="The model: a name of the catalogue, pypi:…, hf:…, or a GGUF file's path.")
]
Context = Annotated[
    int,
    _option("context", min=64, max=1 << 20, help="Tokens of a thread's context; the model's own limit holds too."),
]
Sequences = Annotated[int, _option("sequences", min=1, max=250, help="Threads with a live context, and runs at once.")]
TaskSequences = Annotated[
    int, _option("task-sequences", min=0, max=250, help="Runs of tasks at once, beside those of threads; 0 for none.")
]
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
StoreUrl = Annotated[
    str,
    _option(
        "store",
        help="Where threads are kept: 'sqlite' (in the state folder), 'memory', or postgresql://user:password@host/db.",
    ),
]
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
Watchdog = Annotated[
    float,
    _option("watchdog", min=2, max=86_400, help="Seconds of silence after which a busy engine is started again."),
]
QueuedRuns = Annotated[
    int, _option("queued-runs", min=0, max=100_000, help="Runs that may wait; more get 'queue_full'.")
]
QueuedTasks = Annotated[
    int, _option("queued-tasks", min=0, max=100_000, help="Runs of one principal's tasks that may wait.")
]
QueuedVectors = Annotated[
    int, _option("queued-vectors", min=1, max=1_000_000, help="Vectors of texts that one principal may wait for.")
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
Sockets = Annotated[
    int,
    _option("sockets", min=1, max=1_000_000, help="Connections that may be open at once; more get status 503."),
]
SessionsPerPrincipal = Annotated[
    int,
    _option(
        "sessions-per-principal", min=1, max=1_000_000, help="Sessions of one principal; more are closed with 4504."
    ),
]
HeadBytes = Annotated[
    int,
    _option("head-bytes", min=1024, max=1 << 20, help="Bytes of a request's line and headers; more get status 431."),
]
BodyBytes = Annotated[
    int,
    _option("body-bytes", min=1024, max=1 << 30, help="Bytes of a request's body; more get status 413."),
]
RequestSeconds = Annotated[
    float,
    _option(
        "request-seconds",
        min=0.1,
        max=3600,
        help="Seconds in which a request must be made and answered, or a WebSocket be open.",
    ),
]
HelloSeconds = Annotated[
    float,
    _option("hello-seconds", min=0.1, max=3600, help="Seconds in which a needed hello must come."),
]
PingSeconds = Annotated[
    float,
    _option("ping-seconds", min=0.1, max=3600, help="Seconds between the pings to a silent client."),
]
PongSeconds = Annotated[
    float,
    _option("pong-seconds", min=0.1, max=3600, help="Seconds that a silent client has to answer a ping."),
]
SlowSeconds = Annotated[
    float,
    _option(
        "slow-seconds",
        min=0.1,
        max=3600,
        help="Seconds without reading after which a client that events go to is closed.",
    ),
]
CloseSeconds = Annotated[
    float,
    _option("close-seconds", min=0.1, max=3600, help="Seconds that a client gets to read the rest and close."),
]
CommandsInFlight = Annotated[
    int,
    _option("commands-in-flight", min=1, max=1_000_000, help="Commands of one session that may wait for their reply."),
]
BytesInFlight = Annotated[
    int,
    _option("bytes-in-flight", min=1 << 20, max=1 << 32, help="Bytes of frames that those commands may have come in."),
]
MessageRate = Annotated[
    float,
    _option("message-rate", min=0.1, max=1e6, help="Commands a second that one session may send."),
]
MessageBurst = Annotated[
    int,
    _option("message-burst", min=1, max=1_000_000, help="Commands that it may send at once after a pause."),
]
LoadedThreads = Annotated[
    int,
    _option(
        "loaded-threads", min=1, max=1_000_000, help="Threads whose messages are kept in memory while nobody uses them."
    ),
]
ThreadsPerPrincipal = Annotated[
    int, _option("threads-per-principal", min=1, max=1 << 31, help="Threads that one principal may own.")
]
OnRestartChoice = Annotated[
    OnRestart,
    _option("on-restart", help="Runs that a crash left behind: go on with them, or keep the text they have."),
]
Drain = Annotated[
    float, _option("drain", min=0, max=86_400, help="Seconds that runs may take to finish after SIGTERM.")
]
HistoryEvents = Annotated[
    int,
    _option("history-events", min=0, max=512, help="A thread's newest events in memory, for those who come back."),
]
HistoryBytes = Annotated[
    int, _option("history-bytes", min=0, max=1 << 20, help="Bytes of them, for each thread in use.")
]
AllowHost = Annotated[list[str] | None, _option("allow-host", help="Another Host name to answer to. May be repeated.")]
AllowOrigin = Annotated[
    list[str] | None, _option("allow-origin", help="Another Origin of pages to allow. May be repeated.")
]
LogFormatName = Annotated[LogFormat, _option("log-format", help="Log lines for people, or in JSON for machines.")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], _option("log-level", help="What is logged.")]
Auth = Annotated[AuthMode, _option("auth", help="How clients prove who they are; 'none' is for loopback only.")]
AuthTokens = Annotated[
    Path | None,
    _option("auth-tokens", help="The file of tokens.", show_default="tokens.json in the state folder"),
]
JwtKey = Annotated[
    Path | None, _option("jwt-key", help="A file with the issuer's public key in PEM, or with a shared secret.")
]
JwtJwks = Annotated[str | None, _option("jwt-jwks", help="The issuer's JWKS: a file, or an https:// URL.")]
JwtAudience = Annotated[str | None, _option("jwt-audience", help="The audience that a token must be for.")]
JwtIssuer = Annotated[str | None, _option("jwt-issuer", help="The issuer that a token must be of.")]
JwtAlgorithms = Annotated[str, _option("jwt-algorithms", help="The signatures that are taken, with commas between.")]
JwtLeeway = Annotated[
    float, _option("jwt-leeway", min=0, max=300, help="Seconds that the issuer's clock may differ by.")
]
Shares = Annotated[
    int, _option("shares", min=1, max=100_000, help="People and open invites that one thread may be shared with.")
]
TaskResults = Annotated[
    float, _option("task-results", min=0, max=1e9, help="Seconds that a finished task can still be asked for.")
]
TasksKept = Annotated[int, _option("tasks-kept", min=0, max=10_000_000, help="Finished tasks that stay at most.")]
TaskResultBytes = Annotated[
    str, _option("task-result-bytes", help="Bytes that they may have; a larger result is refused.")
]
TasksPerPrincipal = Annotated[
    int, _option("tasks-per-principal", min=1, max=1_000_000, help="Unfinished tasks of one principal.")
]
OpenAiAnyModel = Annotated[
    bool,
    _option("openai-any-model/--no-openai-any-model", help="Answer requests under /openai/v1 for any name of a model."),
]
StoreConnections = Annotated[
    int,
    _option(
        "store-connections", min=1, max=1000, help="Connections to PostgreSQL at once, beside one that is the claim."
    ),
]
