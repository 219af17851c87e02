"""The commands about a thread's context: read a draft ahead, warm, evict; and what changes of threads mean for it.

It must never know how contexts are kept: that is the engine's.
"""

from __future__ import annotations

from typing import Any, Protocol

from livethread.messages import Empty, Evict, ReadDraft, ResidencyOk, Warm
from livethread.model import Residency, Thread
from livethread_server.acceptance import Answer
from livethread_server.ahead import AheadEngine, ReadAhead
from livethread_server.hub import Hub
from livethread_server.lanes import Lane, Lanes
from livethread_server.placement import busy
from livethread_server.prompter import Prompter
from livethread_server.session import Session
from livethread_server.threads import Residencies


class ContextEngine(AheadEngine, Protocol):
    """What the commands about contexts need of an engine."""

    def forget(self, thread: str) -> None:
        """The thread is gone: its context may go."""

    def pin(self, thread: str, pinned: bool) -> None:
        """Keep a thread's context at hand while anything else can go; or no longer."""

    async def warm(self, thread: str, tenant: str, tokens: tuple[int, ...], *, shared: int = 0) -> Residency:
        """Make the context of these tokens live; where it is in the end."""

    async def evict(self, thread: str) -> Residency:
        """Put a thread's context on disk; where it is in the end."""

    async def stats(self) -> dict[str, Any]:
        """What is where, and what it was good for."""


class Contexts:
    """The contexts of all threads, as far as the service has a say in them."""

    def __init__(
        self, lanes: Lanes, hub: Hub, engine: ContextEngine, prompter: Prompter, residencies: Residencies
    ) -> None:
        self._lanes = lanes
        self._hub = hub
        self._engine = engine
        self._prompter = prompter
        self._residencies = residencies
        self._ahead = ReadAhead(lanes, engine, prompter)
        self._later: set[str] = set()

    @property
    def wishes(self) -> int:
        """How many threads wait to be read ahead."""
        return self._ahead.wishes

    async def draft(self, session: Session, command: ReadDraft, answer: Answer) -> None:
        """Have a message read while it is typed."""
        async with self._lanes.hold(command.thread, session.principal, "participant") as lane:
            # While a reply is being written nobody knows what the draft will stand behind.
            if not lane.runs:
                self._ahead.want(lane.thread, lane.turns, command.text)
        answer(Empty())

    async def warm(self, session: Session, command: Warm, answer: Answer) -> None:
        """Make a context live. The context of a thread with an unfinished run is that run's affair."""
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            thread, turns, running = lane.thread, lane.turns, bool(lane.runs)
        # The lane is let go: warming may take long, and no run must wait for it.
        residency = self._residencies.of(thread.id)
        if not running:
            ahead = await self._prompter.ahead(thread, turns)
            if ahead.tokens:
                residency = await self._engine.warm(thread.id, thread.owner, ahead.tokens, shared=ahead.shared)
        answer(ResidencyOk(residency))

    async def evict(self, session: Session, command: Evict, answer: Answer) -> None:
        """Put a context on disk; `CommandError` ``busy`` where a run of the thread has not ended."""
        async with self._lanes.hold(command.thread, session.principal, "owner") as lane:
            if lane.runs:
                raise busy([run.id for run in lane.runs])
            self._ahead.drop(lane.id)
        answer(ResidencyOk(await self._engine.evict(command.thread)))

    async def stats(self) -> dict[str, Any]:
        """What is where, and what it was good for: the engine's figures, and ``hit_rates``, the parts of all prompts'
        tokens that came from each place. `CommandError` where the engine cannot be asked."""
        figures = await self._engine.stats()
        tokens: dict[str, int] = figures.get("tokens", {})
        total = sum(tokens.values()) or 1
        return {**figures, "hit_rates": {source: round(count / total, 4) for source, count in tokens.items()}}

    def changed(self, lane: Lane) -> None:
        """A thread was mutated: what is new is read ahead where somebody listens, once it is known what it
        stands behind."""
        if lane.runs:
            self._later.add(lane.id)
            return
        self._later.discard(lane.id)
        if self._hub.heard(lane.id):
            self._ahead.want(lane.thread, lane.turns)

    def ended(self, lane: Lane) -> None:
        """A run of the thread has ended."""
        if lane.id in self._later and not lane.runs:
            self._later.remove(lane.id)
            self.changed(lane)

    def created(self, thread: Thread) -> None:
        """There is a new thread."""
        if thread.pinned:
            self._engine.pin(thread.id, True)

    def pin(self, thread: str, pinned: bool) -> None:
        """A thread's ``pinned`` was set."""
        self._engine.pin(thread, pinned)

    def forget(self, thread: str) -> None:
        """A thread is gone."""
        self._ahead.drop(thread)
        self._later.discard(thread)
        self._engine.forget(thread)

    async def stop(self) -> None:
        """Read nothing ahead any more."""
        await self._ahead.stop()
