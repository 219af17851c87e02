"""What a client of the bench says on a connection, and what it hears of its runs.

This module must never know what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.bench.jobs import Arrival, Story
from tests.bench.wire import Map, Wire


class Talk:
    """Commands and the stories of runs on one connection. Raises ValueError where a command is refused."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._stories: dict[str, Story] = {}
        self._unanswered: set[int] = set()
        self._wanted: int | None = None
        self._answer: Map = {}

    def close(self) -> None:
        """End the connection."""
        self._wire.close()

    def send(self, kind: str, **fields: Any) -> int:
        """Send a command without waiting for what it is answered; its id."""
        number = self._wire.send(kind, **fields)
        self._unanswered.add(number)
        return number

    def ask(self, kind: str, **fields: Any) -> Map:
        """Send a command; what it is answered."""
        number = self._wanted = self.send(kind, **fields)
        self.until(lambda: number not in self._unanswered)
        return self._answer

    def generate(self, thread: str, run: str, **fields: Any) -> Story:
        """Ask for a run on a thread that is subscribed to; its story, which has only begun."""
        story = self._stories[run] = Story(run=run, sent_at=time.monotonic())
        self.send("generate", thread=thread, run=run, **fields)
        return story

    def settle(self) -> None:
        """Come back when every command is answered."""
        self.until(lambda: not self._unanswered)

    def hear_out(self, stories: Iterable[Story]) -> None:
        """Come back when these runs are finished."""
        awaited = list(stories)
        self.until(lambda: all(story.reason for story in awaited))

    def until(self, done: Callable[[], bool]) -> None:
        """Listen until something is so."""
        while not done():
            at, messages = self._wire.receive()
            for message in messages:
                self._take(at, message)

    def _take(self, at: float, message: Map) -> None:
        kind = message["type"]
        if kind == "run.delta":
            story = self._stories[message["run"]]
            story.torn |= message["from"] != (story.deltas[-1].to if story.deltas else 0)
            story.deltas.append(Arrival(at, message["to"]))
            story.text += message["text"]
        elif kind == "reply":
            self._take_reply(message)
        elif kind == "run.started":
            story = self._stories[message["run"]]
            story.prompt_tokens, story.reused_tokens = message["prompt_tokens"], message["reused_tokens"]
            story.sources = message["sources"]
            story.starts += 1
        elif kind == "run.finished":
            story = self._stories[message["run"]]
            story.reason, story.timings = message["reason"], message["timings"]
            story.final = message["message"]["content"]
            story.completion_tokens = message["usage"]["completion_tokens"]

    def _take_reply(self, message: Map) -> None:
        if "error" in message:
            raise ValueError(message["error"]["message"])
        if message["id"] == self._wanted:
            self._answer = message["ok"]
        self._unanswered.discard(message["id"])
