"""The command line: flags, then ``LIVETHREAD_*`` variables, then a TOML file, then defaults.

Whatever cannot work is one sentence on standard error and exit code 2, before anything is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
import uvloop
from msgspec import structs

from livethread.errors import LivethreadError
from livethread_server import logs, options
from livethread_server.app import App
from livethread_server.auth.keys import ALGORITHMS
from livethread_server.cache_cli import cache
from livethread_server.chat_cli import chat
from livethread_server.descriptors import room_for
from livethread_server.models import DEFAULT_MODEL, default_models_dir, locate
from livethread_server.models_cli import models, pull
from livethread_server.serving import Server
from livethread_server.settings import Settings, SettingsError, byte_size, names_of
from livethread_server.sockets import protocols
from livethread_server.spec_cli import spec
from livethread_server.state_folder import default_state_dir, state_folder
from livethread_server.tiers import tiers
from livethread_server.token_cli import token
from livethread_server.vocabulary import Vocabulary

log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""How long a shutdown waits for connections to end, behind the draining of runs."""

cli = typer.Typer(
    name="livethread",
    help="Threads that live on the server, with a live llama.cpp context behind them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
cli.add_typer(cache, name="cache")
cli.add_typer(token, name="token")
cli.add_typer(models, name="models")


@cli.callback()
def livethread() -> None:
    """Threads that live on the server, with a live llama.cpp context behind them."""


def _from_file(context: typer.Context, path: Path | None) -> Path | None:
    """Let a TOML file give what neither a flag nor a variable gives."""
    if path is None:
        return None
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read as TOML: {error}.") from None
    known = {parameter.name for parameter in context.command.params} - {"config"}
    unknown = [name for name in values if name.replace("-", "_") not in known]
    if unknown:
        names = ", ".join(sorted(str(name) for name in known))
        raise typer.BadParameter(f"{path} sets {unknown[0]!r}, which is not a setting. Known: {names}.")
    context.default_map = {name.replace("-", "_"): value for name, value in values.items()}
    return path


@cli.command()
def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            callback=_from_file,
            is_eager=True,
            envvar="LIVETHREAD_CONFIG",
            help="A TOML file with any of these settings.",
        ),
    ] = None,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    state_dir: options.StateDir = None,
    models_dir: options.ModelsDir = None,
    model: options.Model = DEFAULT_MODEL,
    context: options.Context = 4096,
    sequences: options.Sequences = 16,
    task_sequences: options.TaskSequences = 8,
    kv_cells: options.KvCells = 0,
    ram_cache: options.RamCache = "1GiB",
    disk_cache: options.DiskCache = "8GiB",
    idle_after: options.IdleAfter = 300.0,
    ingest_tokens: options.IngestTokens = 16384,
    store: options.StoreUrl = "sqlite",
    chat_template: options.ChatTemplate = None,
    system_prompt: options.SystemPrompt = None,
    layout: options.LayoutName = "auto",
    flash_attention: options.FlashAttention = None,
    repack: options.Repack = True,
    threads: options.Threads = 0,
    gpu_layers: options.GpuLayers = 0,
    step_ms: options.StepMs = 100.0,
    watchdog: options.Watchdog = 60.0,
    queued_runs: options.QueuedRuns = 64,
    queued_tasks: options.QueuedTasks = 256,
    queued_vectors: options.QueuedVectors = 8192,
    subscriptions: options.Subscriptions = 256,
    outbox_bytes: options.OutboxBytes = 1 << 20,
    sockets: options.Sockets = 10_000,
    sessions_per_principal: options.SessionsPerPrincipal = 10_000,
    head_bytes: options.HeadBytes = 32 << 10,
    body_bytes: options.BodyBytes = 1 << 20,
    request_seconds: options.RequestSeconds = 20.0,
    hello_seconds: options.HelloSeconds = 10.0,
    ping_seconds: options.PingSeconds = 15.0,
    pong_seconds: options.PongSeconds = 10.0,
    slow_seconds: options.SlowSeconds = 5.0,
    close_seconds: options.CloseSeconds = 5.0,
    commands_in_flight: options.CommandsInFlight = 1024,
    bytes_in_flight: options.BytesInFlight = 32 << 20,
    message_rate: options.MessageRate = 1000.0,
    message_burst: options.MessageBurst = 10_000,
    loaded_threads: options.LoadedThreads = 1024,
    threads_per_principal: options.ThreadsPerPrincipal = 10_000,
    on_restart: options.OnRestartChoice = "resume",
    drain: options.Drain = 20.0,
    history_events: options.HistoryEvents = 128,
    history_bytes: options.HistoryBytes = 1 << 16,
    allow_host: options.AllowHost = None,
    allow_origin: options.AllowOrigin = None,
    auth: options.Auth = "none",
    auth_tokens: options.AuthTokens = None,
    jwt_key: options.JwtKey = None,
    jwt_jwks: options.JwtJwks = None,
    jwt_audience: options.JwtAudience = None,
    jwt_issuer: options.JwtIssuer = None,
    jwt_algorithms: options.JwtAlgorithms = "HS256,RS256,ES256",
    jwt_leeway: options.JwtLeeway = 30.0,
    shares: options.Shares = 256,
    task_results: options.TaskResults = 600.0,
    tasks_kept: options.TasksKept = 10_000,
    task_result_bytes: options.TaskResultBytes = "256MiB",
    tasks_per_principal: options.TasksPerPrincipal = 256,
    openai_any_model: options.OpenAiAnyModel = False,
    store_connections: options.StoreConnections = 10,
    log_level: options.LogLevel = "info",
    log_format: options.LogFormatName = "text",
) -> None:
    """Serve threads on a WebSocket, and the web client beside it."""
    logs.configure(log_level, log_format)
    # At info it logs whole URLs, at debug level whole handshakes and frames, tokens and texts among them.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        settings = Settings(
            host=host,
            port=port,
            state_dir=state_dir or default_state_dir(),
            models_dir=models_dir or default_models_dir(),
            model=model,
            context=context,
            sequences=sequences,
            task_sequences=task_sequences,
            kv_cells=kv_cells,
            ram_cache=byte_size("--ram-cache", ram_cache),
            disk_cache=byte_size("--disk-cache", disk_cache),
            idle_after=idle_after,
            ingest_tokens=ingest_tokens,
            store=store,
            chat_template=chat_template,
            system_prompt=(_text(system_prompt, "system prompt") or "").strip(),
            layout=layout,
            flash_attention=flash_attention,
            repack=repack,
            threads=threads,
            gpu_layers=gpu_layers,
            step_ms=step_ms,
            watchdog=watchdog,
            queued_runs=queued_runs,
            queued_tasks=queued_tasks,
            queued_vectors=queued_vectors,
            subscriptions=subscriptions,
            outbox_bytes=outbox_bytes,
            sockets=sockets,
            sessions_per_principal=sessions_per_principal,
            head_bytes=head_bytes,
            body_bytes=body_bytes,
            request_seconds=request_seconds,
            hello_seconds=hello_seconds,
            ping_seconds=ping_seconds,
            pong_seconds=pong_seconds,
            slow_seconds=slow_seconds,
            close_seconds=close_seconds,
            commands_in_flight=commands_in_flight,
            bytes_in_flight=bytes_in_flight,
            message_rate=message_rate,
            message_burst=message_burst,
            loaded_threads=loaded_threads,
            threads_per_principal=threads_per_principal,
            on_restart=on_restart,
            drain=drain,
            history_events=history_events,
            history_bytes=history_bytes,
            allow_hosts=tuple(allow_host or ()),
            allow_origins=tuple(allow_origin or ()),
            auth=auth,
            auth_tokens=auth_tokens,
            jwt_key=jwt_key,
            jwt_jwks=jwt_jwks,
            jwt_audience=jwt_audience,
            jwt_issuer=jwt_issuer,
            jwt_algorithms=names_of("--jwt-algorithms", jwt_algorithms, ALGORITHMS),
            jwt_leeway=jwt_leeway,
            shares=shares,
            task_results=task_results,
            tasks_kept=tasks_kept,
            task_result_bytes=byte_size("--task-result-bytes", task_result_bytes),
            tasks_per_principal=tasks_per_principal,
            openai_any_model=openai_any_model,
            store_connections=store_connections,
        )
        _serve(settings)
    except LivethreadError as error:
        typer.echo(f"livethread: {error}", err=True)
        raise typer.Exit(2) from None


cli.command()(chat)
cli.command()(pull)
cli.command()(spec)


def _serve(settings: Settings) -> None:
    settings.check()
    with state_folder(settings.state_dir, settings.address), _listening(settings) as listener:
        model = locate(settings.model, settings.models_dir)
        vocabulary = Vocabulary.load(model.path, _text(settings.chat_template, "chat template"))
        if vocabulary.template_source == "chatml":
            log.warning("%s has no chat template; ChatML is used. Give its own with --chat-template FILE.", model.name)
        if settings.is_nameless:
            log.warning("Others are not answered: --host %s is no name. Give theirs with --allow-host.", settings.host)
        with tiers(settings, model.path) as kept, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, partial(App, settings, model, vocabulary, kept), listener))


async def _run(settings: Settings, build: Callable[[], App], listener: socket.socket) -> None:
    app = build()
    server = Server(app, _uvicorn_config(app, settings), settings.drain)
    with server.heeding_signals():
        try:
            await app.start()
            log.info("serving %s on http://%s", app.model, settings.address)
            await server.serve(sockets=[listener])
        finally:
            await app.stop()


def _uvicorn_config(app: App, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app.asgi,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **protocols(structs.replace(app.bounds, sockets=room_for(app.bounds.sockets))),
    )


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}. Choose another --port."
        ) from None
    with listener:
        yield listener


def _text(path: Path | None, what: str) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The {what} {path} cannot be read: {error}.") from None


def main() -> None:
    """The entry point of the ``livethread`` command."""
    cli()


if __name__ == "__main__":
    main()
