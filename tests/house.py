"""The service with everything real but the engine, whose words the tests give; and guests who use it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from livethread import messages as wire
from livethread.codec import JsonCodec, to_event
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Command, Event, Limits
from livethread.model import Principal, Reason, Residency
from livethread_server.acceptance import Acceptance
from livethread_server.attendance import Attendance
from livethread_server.auth.gate import Gate
from livethread_server.contexts import Contexts
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import (
    Delta,
    Finished,
    Ingest,
    Logprob,
    Moved,
    Output,
    Pooling,
    Progress,
    Ready,
    Started,
    Submit,
    Warm,
)
from livethread_server.findings import Findings
from livethread_server.history import HistoryBounds
from livethread_server.http.openai.door import OpenAiDoor
from livethread_server.http.openai.models import Card, Models
from livethread_server.hub import Hub
from livethread_server.lanes import Lanes
from livethread_server.listening import Listening
from livethread_server.outbox import Outbox
from livethread_server.prompter import Prompter
from livethread_server.recovery import Recovery
from livethread_server.runs import Runs
from livethread_server.service import Service
from livethread_server.session import Session
from livethread_server.settling import Settling
from livethread_server.sharing import Sharing
from livethread_server.store.base import Store
from livethread_server.task_commands import TaskCommands
from livethread_server.tasks.bench import ModelBench
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.kind_list import Kinds
from livethread_server.tasks.kinds.builtin import builtin_kinds
from livethread_server.tasks.tasks import Tasks
from livethread_server.tasks.texts import Texts
from livethread_server.tasks.workshop import Workshop
from livethread_server.thread_commands import ThreadCommands
from livethread_server.threads import Residencies
from livethread_server.vocabulary import Vocabulary
from livethread_server.watching import Watching

E = TypeVar("E", bound=Event)
PATIENCE = 10.0


READY = Ready(
    context=2048,
    trained_context=2048,
    sequences=4,
    cells=8192,
    vocabulary=49152,
    description="fake",
    cuttable=True,
    task_sequences=4,
    dimensions=4,
    pooling="mean",
    embed_tokens=2048,
)
"""What the fake engine's model can do."""


class FakeEngine:
    """An engine that says what the test tells it to. It takes ``room`` runs of threads, and as many of tasks, at once
    and queues the rest.
    """

    def __init__(self, room: int = 100) -> None:
        self.trouble: CommandError | None = None
        self.submitted: dict[str, Submit] = {}
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []
        self.ingested: list[Ingest] = []
        self.pinned: dict[str, bool] = {}
        self.warmed: list[Warm] = []
        self.evicted: list[str] = []
        self.settles: Residency | None = None
        self.ready: Ready | None = READY
        self._outputs: dict[str, RunOutputs] = {}
        self.embedded: list[tuple[tuple[tuple[int, ...], ...], Pooling]] = []
        self._room = room
        self.most_of_a_task = 1000

    def submit(self, submit: Submit) -> RunOutputs:
        if self.trouble is not None:
            raise self.trouble
        outputs = RunOutputs(submit.run)
        kin = sum(self.submitted[run].side == submit.side for run in self._outputs)
        outputs.position = max(0, kin + 1 - self._room)
        self.submitted[submit.run] = submit
        self._outputs[submit.run] = outputs
        return outputs

    def check_task(self, runs: int) -> None:
        if runs > self.most_of_a_task:
            raise CommandError(ErrorCode.TOO_LARGE, "There is never room for so many runs.")

    def cancel(self, run: str) -> None:
        self.cancelled.append(run)
        outputs = self._outputs.pop(run, None)
        if outputs is not None:
            outputs.end("cancelled")

    def forget(self, thread: str) -> None:
        self.forgotten.append(thread)

    def ingest(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> None:
        self.ingested.append(Ingest(thread=thread, tenant=tenant, tokens=tokens, shared=shared))

    def pin(self, thread: str, pinned: bool) -> None:
        self.pinned[thread] = pinned

    async def warm(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> Residency:
        if self.trouble is not None:
            raise self.trouble
        self.warmed.append(Warm(ask=0, thread=thread, tenant=tenant, tokens=tokens, shared=shared))
        return self.settles or "live"

    async def evict(self, thread: str) -> Residency:
        if self.trouble is not None:
            raise self.trouble
        self.evicted.append(thread)
        return self.settles or "disk"

    async def embed(
        self, texts: Sequence[tuple[int, ...]], pooling: Pooling, tenant: str
    ) -> AsyncGenerator[tuple[int, npt.NDArray[np.float32]]]:
        """Vectors that say how long the text is, its first token, and its last one."""
        if self.trouble is not None:
            raise self.trouble
        self.embedded.append((tuple(texts), pooling))
        for index, tokens in enumerate(texts):
            row = [len(tokens), tokens[0], tokens[-1], 0.0]
            rows = [[float(token), 1.0, 0.0, 0.0] for token in tokens] if pooling == "none" else [row]
            yield index, np.asarray(rows, np.float32)

    async def stats(self) -> dict[str, Any]:
        if self.trouble is not None:
            raise self.trouble
        return {"threads": {"live": 1}, "tokens": {"live": 60, "ram": 0, "disk": 15, "computed": 25}}

    async def wait_ready(self) -> None:
        while self.trouble is not None:
            if self.trouble.code is ErrorCode.MODEL_UNAVAILABLE:
                raise self.trouble
            await asyncio.sleep(0)

    # What a test makes it say

    async def taken(self, run: str) -> Submit:
        """The submit of a run, as soon as it comes."""
        while run not in self.submitted:  # noqa: ASYNC110 - the loop is the test's own, and short
            await asyncio.sleep(0)
        return self.submitted[run]

    @property
    def unfinished(self) -> list[str]:
        """The runs that it was given and has not ended."""
        return list(self._outputs)

    def start(self, run: str, reused: int = 0) -> None:
        moment = time.monotonic()
        self._put(run, started=Started(len(self.submitted[run].tokens), reused, moment, moment, live=reused))

    def progress(self, run: str, processed: int, total: int) -> None:
        self._put(run, progress=Progress(0, processed, total))

    def say(self, run: str, text: str, tokens: tuple[int, ...], logprobs: tuple[Logprob, ...] = ()) -> None:
        self._put(run, delta=Delta(tokens, text, logprobs))

    def finish(self, run: str, reason: Reason = "stop", error: str | None = None) -> None:
        moment = time.monotonic()
        outputs = self._outputs.pop(run)
        outputs.put(
            Output(run, finished=Finished(reason, len(self.submitted[run].generated) + 1, moment, moment, error))
        )

    def _put(self, run: str, **fields: Any) -> None:
        self._outputs[run].put(Output(run, **fields))


class Guest:
    """One session of the service, with the events it was told."""

    def __init__(self, service: Service, principal: str) -> None:
        self.session = Session(Outbox(JsonCodec(), 1 << 24), Principal(principal, principal))
        self.told: list[Event] = []
        self._service = service
        self._ids = itertools.count(1)

    async def ask(self, kind: type[Command], /, **fields: Any) -> Any:
        """Carry a command out; its ``Ok``, or the `CommandError`. ``thread`` may be left out: it is ``t``."""
        if "thread" not in fields and issubclass(kind, wire.ThreadCommand):
            fields["thread"] = "t"
        command = msgspec.convert({"type": kind.__struct_config__.tag, "id": next(self._ids)} | fields, kind)
        answers: list[msgspec.Struct] = []
        self._service.announce(self.session, command)
        await self._service.carry_out(self.session, command, answers.append)
        assert len(answers) == 1
        assert isinstance(answers[0], kind.Ok)
        return answers[0]

    async def next(self, kind: type[E], **fields: Any) -> E:
        """The first event of a kind, with these fields, that is or will be told."""
        async with asyncio.timeout(PATIENCE):
            seen = 0
            while True:
                for event in self.told[seen:]:
                    if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                        return event
                seen = len(self.told)
                self._hear(await self.session.outbox.take())

    async def heard(self) -> list[Event]:
        """Everything told so far."""
        await asyncio.sleep(0)
        if self.session.outbox.waiting_bytes:
            self._hear(await self.session.outbox.take())
        return self.told

    def _hear(self, frames: list[Any]) -> None:
        for frame in frames:
            event = to_event(JsonCodec().decode(frame))
            assert event is not None
            self.told.append(event)


class House:
    """A service under test."""

    def __init__(self, store: Store, vocabulary: Vocabulary, grammars: GrammarCheck, **more: Any) -> None:
        self.store = store
        self.vocabulary, self.grammars = vocabulary, grammars
        self.engine = FakeEngine(more.get("room", 100))
        history = more.get("history", HistoryBounds())
        self.hub, self.lanes = hub, lanes = Hub(), Lanes(store, more.get("lanes", 100), history)
        prompter = Prompter("smol", vocabulary, grammars, more.get("context", 2048), more.get("system_prompt", ""))
        self.runs = Runs(store, lanes, hub, self.engine, prompter, "i_1")
        self.recovery = Recovery(store, lanes, self.runs, prompter)
        self.residencies = Residencies(hub)
        self.contexts = Contexts(lanes, hub, self.engine, prompter, self.residencies)
        self.runs.on_ended = self.contexts.ended
        self.findings = Findings(store, lanes, self.engine, self.residencies)
        self.watching = Watching(store, lanes, hub, self.residencies, more.get("readers", lanes.readers), pause=0)
        hub.on_event = self.watching.heard
        self.attendance = Attendance(hub, pause=0, typing=more.get("typing", 60.0))
        self.listening = Listening(
            store=store,
            lanes=lanes,
            hub=hub,
            residencies=self.residencies,
            watching=self.watching,
            attendance=self.attendance,
            subscriptions=more.get("subscriptions", 4),
        )
        self.settling = lanes.doubts = Settling(
            store=store,
            lanes=lanes,
            hub=hub,
            runs=self.runs,
            recovery=self.recovery,
            listening=self.listening,
            contexts=self.contexts,
        )
        threads = ThreadCommands(
            store=store,
            lanes=lanes,
            runs=self.runs,
            prompter=prompter,
            contexts=self.contexts,
            residencies=self.residencies,
            listening=self.listening,
            watching=self.watching,
            most=more.get("threads", 1000),
        )
        self.gate = Gate(more.get("auth"))
        self.sharing = Sharing(store, lanes, hub, self.gate, self.listening, more.get("shares", 8))
        texts = Texts(vocabulary, prompter)
        self.shop = shop = Workshop("smol", texts, self.engine)
        self.tasks = Tasks(
            Kinds((*builtin_kinds(), *more.get("kinds", ()))),
            partial(ModelBench, shop),
            shop.abilities,
            more.get("task_bounds", TaskBounds()),
            model="smol",
            instance="i_1",
        )
        card = Card(name="smol", created=7, size=9, vocabulary=vocabulary.size, trained_context=2048, context=2048)
        models = Models(card, self.shop.abilities, any_name=more.get("any_model", False))
        self.openai = OpenAiDoor(self.tasks, models, texts, "0")
        queued = more.get("queued_runs", 8)
        self.service = Service(
            store=store,
            lanes=lanes,
            runs=self.runs,
            acceptance=Acceptance(store, lanes, self.runs, prompter, queued),
            prompter=prompter,
            contexts=self.contexts,
            residencies=self.residencies,
            gate=self.gate,
            sharing=self.sharing,
            identity=("livethread", "0"),
            limits=Limits(1 << 20, 1 << 18, 2048, queued, more.get("subscriptions", 4)),
            threads=threads,
            listening=self.listening,
            tasks=TaskCommands(self.tasks),
        )

    def guest(self, principal: str = "alice") -> Guest:
        return Guest(self.service, principal)

    async def listener(self, principal: str = "alice", **fields: Any) -> Guest:
        """A guest with a new thread ``t`` that listens to it."""
        guest = self.guest(principal)
        await guest.ask(wire.ThreadCreate, **({"thread": "t"} | fields))
        await guest.ask(wire.Subscribe)
        return guest

    def live(self, thread: str, tokens: int) -> None:
        """The engine says that a thread is live."""
        self.residencies.moved(Moved(thread, "live", tokens))


async def crash(house: House) -> None:
    """End a house as ``kill -9`` does: nothing of it is told or stored any more."""
    for run in house.runs._live.values():
        if run.timer is not None:
            run.timer.cancel()
    for task in house.runs._tasks:
        task.cancel()
    await asyncio.gather(*house.runs._tasks, return_exceptions=True)
    await house.settling.stop()
    await house.contexts.stop()
    await house.store.close()


async def closing(house: House) -> AsyncIterator[House]:
    """Use a house and stop its runs after it."""
    await house.store.open()
    yield house
    await house.tasks.stop()
    await house.gate.stop()
    await house.findings.stop()
    await house.watching.stop()
    await house.contexts.stop()
    await house.settling.stop()
    await house.runs.stop()
    await house.store.close()
