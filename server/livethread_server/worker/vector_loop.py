"""The loop of a model that turns texts into vectors and cannot generate: there is no KV, and there are no runs.

This module must never know pipes or clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from livethread_server.engine.wire import (
    AskStats,
    CancelEmbed,
    Embed,
    Evict,
    Finished,
    Output,
    Settled,
    Stats,
    Step,
    Submit,
    Warm,
)
from livethread_server.worker.embedder import Embedder
from livethread_server.worker.loop import BEAT, Command, Inbox, Told
from livethread_server.worker.scheduler import ALONE
from livethread_server.worker.step_times import StepTimes


class VectorLoop:
    """``say`` takes what there is to tell; it must not block."""

    def __init__(self, embedder: Embedder, inbox: Inbox, say: Callable[[Told], None], *, step_ms: float) -> None:
        self._embedder = embedder
        self._inbox = inbox
        self._say = say
        self._step_ms = step_ms
        self._times = StepTimes()
        self._told_at = time.monotonic()

    def run(self) -> None:
        """Step until the inbox ends; wait without spinning while there is nothing to do."""
        while self.listen():
            self.step()

    def listen(self) -> bool:
        """Take the commands that are there; False once there will be no more."""
        commands = self._inbox.take(0.0 if self._embedder.busy else None)
        for _, command in commands or ():
            self._hear(command)
        return commands is not None

    def step(self) -> None:
        """One batch of texts, if there are any."""
        began = time.monotonic()
        if self._embedder.advance(self._step_ms * ALONE):
            self._times.took(time.monotonic() - began)
        for answer in self._embedder.answers():
            self._say(answer)
        if self._embedder.busy and time.monotonic() - self._told_at >= BEAT:
            self._told_at = time.monotonic()
            self._say(Step(()))

    def _hear(self, command: Command) -> None:
        match command:
            case Embed():
                self._embedder.ask(command)
            case CancelEmbed(ask=ask):
                self._embedder.cancel(ask)
            case Submit(run=run):
                sentence = "The model turns texts into vectors and cannot generate. Serve one that can."
                finished = Finished("error", 0, None, time.monotonic(), sentence)
                self._say(Step((Output(run, finished=finished),)))
            case Warm(ask=ask, thread=thread) | Evict(ask=ask, thread=thread):
                self._say(Settled(ask, thread, "cold"))
            case AskStats(ask=ask):
                self._say(Stats(ask, self._stats()))

    def _stats(self) -> dict[str, Any]:
        """As of an engine that holds nothing."""
        return {
            "threads": {"live": 0, "ram": 0, "disk": 0},
            "live": {"sequences": 0, "running": 0, "of": 0, "tokens": 0, "cells": 0},
            "evictions": 0,
            "tiers": {},
            "saved_bytes": 0,
            "dropped": 0,
            "tokens": {"live": 0, "ram": 0, "disk": 0, "computed": 0},
            "steps": self._times.told(),
        }
