"""The composition root: builds every room of the server from settings and ties them together.

Nothing else builds things; this module must never know how any of them works.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from livethread.errors import CloseCode
from livethread.messages import Limits
from livethread.model import FRAME_BYTES, MESSAGE_BYTES
from livethread_server import journal
from livethread_server.acceptance import Acceptance
from livethread_server.access import AccessControl, AsgiApp
from livethread_server.attendance import Attendance
from livethread_server.auth.choice import authenticator
from livethread_server.auth.gate import Gate
from livethread_server.contexts import Contexts
from livethread_server.engine.engine import Engine
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.wire import Configure
from livethread_server.findings import Findings
from livethread_server.gauges import Gauges
from livethread_server.headcount import Headcount
from livethread_server.history import HistoryBounds
from livethread_server.http.api import api_operations, api_routes
from livethread_server.http.cors import cross_origin
from livethread_server.http.documents import document_routes
from livethread_server.http.door import HttpDoor
from livethread_server.http.openai.door import OpenAiDoor, openai_routes
from livethread_server.http.openai.models import Card, Models
from livethread_server.http.site import http_routes, metrics_operation
from livethread_server.hub import Hub, each
from livethread_server.lanes import Lanes
from livethread_server.listening import Listening
from livethread_server.metrics import Metrics
from livethread_server.models import ModelFile
from livethread_server.prompter import Prompter
from livethread_server.recovery import Recovery
from livethread_server.runs import Runs
from livethread_server.service import Service
from livethread_server.settings import Settings
from livethread_server.sharing import Sharing
from livethread_server.stamps import new_id
from livethread_server.store.base import Store
from livethread_server.store.memory import MemoryStore
from livethread_server.store.sql import SqlStore
from livethread_server.task_commands import TaskCommands
from livethread_server.tasks.bench import ModelBench
from livethread_server.tasks.kind_list import Kinds
from livethread_server.tasks.kinds.builtin import builtin_kinds
from livethread_server.tasks.plugins import installed_kinds
from livethread_server.tasks.tasks import Tasks
from livethread_server.tasks.texts import Texts
from livethread_server.tasks.workshop import Workshop
from livethread_server.thread_commands import ThreadCommands
from livethread_server.threads import Residencies
from livethread_server.tiers import Tiers
from livethread_server.vocabulary import Vocabulary
from livethread_server.watching import Watching
from livethread_server.websocket import WebSocketDoor


class App:
    """A whole server but its socket: `asgi` is what uvicorn runs between `start` and `stop`."""

    def __init__(self, settings: Settings, model: ModelFile, vocabulary: Vocabulary, tiers: Tiers) -> None:
        self.model = model.name
        context = min(settings.context, vocabulary.trained_context)
        version, instance = importlib.metadata.version("livethread"), new_id("i")
        self._vocabulary = vocabulary
        self._gate = Gate(authenticator(settings))
        self._resumes = settings.on_restart == "resume"
        self._store = open_store(settings)
        self._engine = Engine(
            _configure(settings, model, context, tiers),
            queued_runs=settings.queued_runs,
            queued_tasks=settings.queued_tasks,
            queued_vectors=settings.queued_vectors,
            watchdog=settings.watchdog,
        )
        self._grammars = GrammarCheck(model.path)
        history = HistoryBounds(settings.history_events, settings.history_bytes)
        hub, lanes = Hub(), Lanes(self._store, settings.loaded_threads, history)
        prompter = Prompter(model.name, vocabulary, self._grammars, context, settings.system_prompt)
        shop = Workshop(model.name, Texts(vocabulary, prompter), self._engine)
        self._tasks = Tasks(
            Kinds((*builtin_kinds(), *installed_kinds())),
            partial(ModelBench, shop),
            shop.abilities,
            settings.task_bounds,
            model=model.name,
            instance=instance,
        )
        self._runs = Runs(self._store, lanes, hub, self._engine, prompter, instance)
        residencies = Residencies(hub)
        self._contexts = Contexts(lanes, hub, self._engine, prompter, residencies)
        self._recovery = Recovery(self._store, lanes, self._runs, prompter)
        self._runs.on_ended = self._contexts.ended
        self._findings = Findings(self._store, lanes, self._engine, residencies)
        self._engine.on_moved = self._findings.moved
        self._watching = Watching(self._store, lanes, hub, residencies, lanes.readers)
        listening = Listening(
            store=self._store,
            lanes=lanes,
            hub=hub,
            residencies=residencies,
            watching=self._watching,
            attendance=Attendance(hub),
            subscriptions=settings.subscriptions,
        )
        threads = ThreadCommands(
            store=self._store,
            lanes=lanes,
            runs=self._runs,
            prompter=prompter,
            contexts=self._contexts,
            residencies=residencies,
            listening=listening,
            watching=self._watching,
            most=settings.threads_per_principal,
        )
        service = Service(
            store=self._store,
            lanes=lanes,
            runs=self._runs,
            acceptance=Acceptance(self._store, lanes, self._runs, prompter, settings.queued_runs),
            prompter=prompter,
            contexts=self._contexts,
            residencies=residencies,
            gate=self._gate,
            sharing=Sharing(self._store, lanes, hub, self._gate, listening, settings.shares),
            identity=("livethread", version),
            limits=_limits(settings, context),
            threads=threads,
            listening=listening,
            tasks=TaskCommands(self._tasks),
        )
        self.bounds = settings.bounds
        people = Headcount(self.bounds.sessions_per_principal)
        self._door = WebSocketDoor(service, self.bounds, hello_required=self._gate.required, headcount=people)
        metrics = Metrics(
            Gauges(self._door, hub, self._runs, self._engine, self._tasks), version=version, instance=instance
        )
        self._http = HttpDoor(service, self.bounds, instance, people)
        operations = [*api_operations(self._http), metrics_operation(service, metrics)]
        models = Models(_card(model, vocabulary, context), shop.abilities, any_name=settings.openai_any_model)
        openai = OpenAiDoor(self._tasks, models, shop.texts, version).operations()
        self._tasks.on_ended = each((metrics.saw_task, journal.write_task))
        hub.on_event = each((self._watching.heard, metrics.saw, journal.write))
        routes = [
            WebSocketRoute("/v1/ws", self._door.serve),
            *document_routes([*operations, *openai], version, required=self._gate.required),
            *api_routes(operations, self._http),
            *openai_routes(openai, self._http),
            *http_routes(service, webclient_folder()),
        ]
        app = cross_origin(Starlette(routes=routes), settings.origins)
        self.asgi: AsgiApp = AccessControl(app, settings.hosts, settings.origins)

    async def start(self) -> None:
        """Open the store, take up what a crash left behind, and begin to load the model."""
        await self._store.open()
        await self._grammars.start()
        await (self._recovery.resume() if self._resumes else self._recovery.keep())
        await self._engine.start()

    def close(self) -> None:
        """Accept no run and no task any more; those there are go on."""
        self._runs.close()
        self._tasks.close()

    async def idle(self) -> None:
        """Return when no run and no task is left."""
        await self._runs.idle()
        await self._tasks.idle()

    async def part(self, pause: float) -> None:
        """End the runs and tasks that are left, and tell every client, once it has heard of that, that the server goes
        away; so many seconds between one batch of clients and the next."""
        await self._runs.interrupt()
        await self._tasks.stop()
        self._http.close_all(CloseCode.SHUTDOWN, "The server shuts down. Ask again in a moment.")
        await self._door.close_all(CloseCode.SHUTDOWN, "The server shuts down. Connect again in a moment.", pause)

    def give_up(self) -> None:
        """Let the engine write nothing more while it ends: contexts are only a cache."""
        if (pid := self._engine.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End all runs, then everything else, in the order of need."""
        await self._gate.stop()
        await self._findings.stop()
        await self._watching.stop()
        await self._contexts.stop()
        await self._tasks.stop()
        await self._runs.stop()
        await self._engine.stop()
        await self._grammars.stop()
        await self._store.close()
        self._vocabulary.close()


def open_store(settings: Settings) -> Store:
    """The store that the settings name, not opened yet."""
    if settings.store == "memory":
        return MemoryStore()
    address = settings.state_dir / "livethread.db" if settings.store == "sqlite" else settings.store
    return SqlStore(address, settings.store_connections)


def webclient_folder() -> Path | None:
    """Where the web client's built files are: in the wheel, or in a source tree; None where it was not built."""
    here = Path(__file__).resolve().parent
    folders = (here / "webclient", here.parent.parent / "webclient" / "dist")
    return next((folder for folder in folders if (folder / "index.html").is_file()), None)


def _configure(settings: Settings, model: ModelFile, context: int, tiers: Tiers) -> Configure:
    return Configure(
        model_path=str(model.path),
        context=context,
        sequences=settings.sequences,
        task_sequences=settings.task_sequences,
        layout=settings.layout,
        flash_attention=settings.flash_attention,
        extra_bufts=settings.repack,
        threads=settings.threads,
        step_ms=settings.step_ms,
        gpu_layers=settings.gpu_layers,
        cells=settings.kv_cells,
        cache_dir=tiers.cache_dir,
        ram_dir=tiers.ram_dir,
        disk_bytes=tiers.disk_bytes,
        ram_bytes=tiers.ram_bytes,
        idle_after=settings.idle_after,
        model_digest=tiers.model_digest,
        ingest_tokens=settings.ingest_tokens,
    )


def _card(model: ModelFile, vocabulary: Vocabulary, context: int) -> Card:
    file = model.path.stat()
    return Card(
        name=model.name,
        created=int(file.st_mtime),
        size=file.st_size,
        vocabulary=vocabulary.size,
        trained_context=vocabulary.trained_context,
        context=context,
    )


def _limits(settings: Settings, context: int) -> Limits:
    return Limits(
        frame_bytes=FRAME_BYTES,
        message_bytes=MESSAGE_BYTES,
        context_tokens=context,
        queued_runs=settings.queued_runs,
        subscriptions=settings.subscriptions,
    )
