"""A conversation that makes itself up as it goes, and a witness who keeps what the server announced in it.

This module must never know what becomes of the server.
"""

from __future__ import annotations

import random
import time
from typing import Any

from tests.bench.wire import Map, Wire

THREADS = 3
LONGEST_PAUSE = 0.1
"""Seconds between two commands at most."""
WORDS = ("a lighthouse", "the sea", "an old map", "two sisters", "a train", "the last winter")
REFUSALS = ("busy", "model_loading", "queue_full", "not_found", "bad_request", "context_overflow")
"""Answers that such a conversation may get; any other is a failure of the server."""


class Witness:
    """What the server has announced, over all connections: durable events as told, and commands answered with ok."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, int], Map] = {}
        self.versions: dict[str, int] = {}
        self.runs: dict[str, str] = {}
        self.failures: list[Map] = []

    def hear(self, message: Map) -> None:
        """Keep an event that must be kept."""
        if "seq" in message:
            self.events[message["thread"], message["seq"]] = message

    def answered(self, thread: str, reply: Map) -> None:
        """Keep what a command on a thread was answered."""
        if "error" in reply:
            if reply["error"]["code"] not in REFUSALS:
                self.failures.append(reply)
            return
        ok = reply["ok"]
        made = ok.get("thread", {})
        thread, version = made.get("id", thread), ok.get("version", made.get("version", 0))
        self.versions[thread] = max(version, self.versions.get(thread, 0))
        if "run" in ok and "position" in ok:
            self.runs[ok["run"]] = thread


class Conversation:
    """One connection on which appends, edits, forks, cuts, runs and cancels follow each other by chance."""

    def __init__(self, wire: Wire, witness: Witness, chance: random.Random, name: str) -> None:
        self._wire = wire
        self._witness = witness
        self._chance = chance
        self._threads = [f"{name}-{number}" for number in range(THREADS)]
        self._run = ""

    def hold(self) -> None:
        """Converse until the connection breaks, which is raised as ConnectionError."""
        for thread in self._threads:
            self._ask(thread, "thread.create", if_exists="get", sampling={"max_tokens": 48})
            self._ask(thread, "subscribe")
        steps = (self._append, self._generate, self._again, self._edit, self._cut, self._fork)
        while True:
            (step,) = self._chance.choices(steps, weights=(2, 6, 2, 2, 1, 2))
            step(self._chance.choice(self._threads))
            time.sleep(self._chance.uniform(0, LONGEST_PAUSE))

    def _append(self, thread: str) -> None:
        self._ask(thread, "mutate", ops=[self._said()])

    def _generate(self, thread: str) -> None:
        self._start(thread, ops=[self._said()])

    def _again(self, thread: str) -> None:
        self._start(thread, mode=self._chance.choice(("regenerate", "continue")))

    def _edit(self, thread: str) -> None:
        messages = self._ask(thread, "thread.get").get("ok", {}).get("thread", {}).get("messages", [])
        if messages:
            message = self._chance.choice(messages)["id"]
            op = {"op": "edit", "message": message, "content": f"Tell of {self._chance.choice(WORDS)} instead."}
            self._ask(
                thread, "mutate", ops=[op], if_busy=self._chance.choice(("reject", "reject", "interrupt", "rollback"))
            )

    def _cut(self, thread: str) -> None:
        self._ask(thread, "mutate", ops=[{"op": "truncate", "after": None}], if_busy="rollback")

    def _fork(self, thread: str) -> None:
        branch = f"{thread}-{self._chance.getrandbits(32):08x}"[-64:]
        if "ok" in self._ask(thread, "thread.fork", new_thread=branch):
            self._ask(branch, "subscribe")
            self._start(branch)

    def _start(self, thread: str, **fields: Any) -> None:
        fields |= {"if_busy": self._chance.choice(("enqueue", "enqueue", "enqueue", "interrupt", "rollback"))}
        reply = self._ask(thread, "generate", **fields)
        last, self._run = self._run, reply.get("ok", {}).get("run", self._run)
        if self._chance.random() < 0.2 and last:
            self._ask(thread, "cancel", run=last)
        elif "ok" in reply and self._chance.random() < 0.5:
            self._hear_until("run.finished", reply["ok"]["run"])

    def _said(self) -> Map:
        content = f"Tell me about {self._chance.choice(WORDS)}."
        return {"op": "append", "message": {"role": "user", "content": content}}

    def _ask(self, thread: str, kind: str, **fields: Any) -> Map:
        about = {} if kind == "cancel" else {"thread": thread}
        number = self._wire.send(kind, **about, **fields)
        while True:
            for message in self._heard():
                if message.get("id") == number:
                    self._witness.answered(thread, message)
                    return message

    def _hear_until(self, kind: str, run: str) -> None:
        while not any(message["type"] == kind and message["run"] == run for message in self._heard()):
            pass

    def _heard(self) -> list[Map]:
        _, messages = self._wire.receive()
        for message in messages:
            self._witness.hear(message)
        return messages
