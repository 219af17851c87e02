"""The bench's client: a process of its own that takes as little of the CPU as it can.

    python -m tests.bench.load ws://…   (jobs as JSON lines on standard input, outcomes on standard output)

One connection per job for all its threads, MessagePack, a blocking socket and no event loop: what it takes, the engine
lacks. This module must never know what is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.bench.jobs import Arrival, Ask, Job, Outcome, Story

Map = dict[str, Any]
PIECE = 1 << 18
PATIENCE = 120.0
"""Seconds of silence after which the server counts as hung."""


class Wire:
    """One connection: commands out, messages in."""

    def __init__(self, url: str) -> None:
        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("livethread.v1.msgpack")], max_size=None)
        self._socket = socket.create_connection((uri.host, uri.port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ids = itertools.count(1)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while not self._protocol.events_received():
            self._protocol.receive_data(self._socket.recv(PIECE))
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def close(self) -> None:
        """End the connection without ceremony."""
        self._socket.close()

    def send(self, kind: str, **fields: Any) -> int:
        """Send a command; its id."""
        number = next(self._ids)
        self._protocol.send_binary(msgpack.packb({"type": kind, "id": number, **fields}))
        self._flush()
        return number

    def receive(self) -> tuple[float, list[Map]]:
        """Wait for bytes; when they came, and the messages they complete."""
        data = self._socket.recv(PIECE)
        at = time.monotonic()
        if not data:
            raise ConnectionError("the server closed the connection")
        self._protocol.receive_data(data)
        messages = [
            msgpack.unpackb(event.data)
            for event in self._protocol.events_received()
            if isinstance(event, Frame) and event.opcode.name == "BINARY"
        ]
        self._flush()
        return at, messages

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._socket.sendall(data)


class Conversation:
    """One job on a connection."""

    def __init__(self, wire: Wire, job: Job) -> None:
        self._wire = wire
        self._job = job
        self._stories: dict[str, Story] = {}
        self._unanswered: set[int] = set()

    def carry_out(self) -> Outcome:
        """Do what the job says; ValueError where the server refuses a command."""
        asks = self._job.together + self._job.after
        for ask in asks:
            self._open(ask)
        self._until(lambda: not self._unanswered)
        together = [self._say(ask) for ask in self._job.together]
        self._until(lambda: all(story.deltas for story in together))
        after = [self._hear_out(ask) for ask in self._job.after]
        self._finish(together, cancel=bool(after))
        for ask in asks:
            self._send("thread.delete", thread=ask.thread)
        self._until(lambda: not self._unanswered)
        return Outcome(together=tuple(together), after=tuple(after))

    def _open(self, ask: Ask) -> None:
        messages = [] if ask.system is None else [{"role": "system", "content": ask.system}]
        biases = {str(token): bias for token, bias in self._job.biases.items()}
        sampling = {"temperature": 0.0, "max_tokens": ask.max_tokens, "logit_bias": biases}
        self._send("thread.create", thread=ask.thread, messages=messages, sampling=sampling)
        self._send("subscribe", thread=ask.thread)

    def _say(self, ask: Ask) -> Story:
        ops = [{"op": "append", "message": {"role": "user", "content": ask.content}}]
        story = self._stories[ask.thread] = Story(run=f"run-{ask.thread}", sent_at=time.monotonic())
        self._send("generate", thread=ask.thread, run=story.run, ops=ops)
        return story

    def _hear_out(self, ask: Ask) -> Story:
        story = self._say(ask)
        self._finish([story], cancel=False)
        return story

    def _finish(self, stories: list[Story], *, cancel: bool) -> None:
        for story in stories:
            if cancel:
                self._send("cancel", run=story.run)
        self._until(lambda: all(story.reason for story in stories))

    def _send(self, kind: str, **fields: Any) -> None:
        self._unanswered.add(self._wire.send(kind, **fields))

    def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            at, messages = self._wire.receive()
            for message in messages:
                self._take(at, message)

    def _take(self, at: float, message: Map) -> None:
        kind = message["type"]
        if kind == "run.delta":
            self._stories[message["thread"]].deltas.append(Arrival(at, message["to"]))
        elif kind == "reply":
            if "error" in message:
                raise ValueError(message["error"]["message"])
            self._unanswered.discard(message["id"])
        elif kind == "run.started":
            story = self._stories[message["thread"]]
            story.prompt_tokens, story.reused_tokens = message["prompt_tokens"], message["reused_tokens"]
        elif kind == "run.finished":
            story = self._stories[message["thread"]]
            story.reason, story.timings = message["reason"], message["timings"]


def main() -> None:
    """Carry out jobs until standard input ends."""
    for line in sys.stdin.buffer:
        with contextlib.closing(Wire(sys.argv[1])) as wire:
            outcome = Conversation(wire, msgspec.json.decode(line, type=Job)).carry_out()
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
