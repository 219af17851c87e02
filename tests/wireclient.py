"""A client written from the wire's description alone: raw maps over `websockets`, nothing of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

Map = dict[str, Any]
PATIENCE = 60.0


class WireClient:
    """One connection: `ask` waits for the reply, events gather in ``events`` in the order they came."""

    def __init__(self, socket: ClientConnection, encoding: str) -> None:
        self.socket = socket
        self.events: list[Map] = []
        self._encoding = encoding
        self._replies: dict[int, Map] = {}
        self._next = 0

    async def send(self, kind: str, /, **fields: Any) -> int:
        """Send a command; its id."""
        self._next += 1
        await self.send_raw({"type": kind, "id": self._next, **fields})
        return self._next

    async def send_raw(self, message: Map) -> None:
        """Send any map."""
        await self.socket.send(json.dumps(message) if self._encoding == "json" else msgpack.packb(message))

    async def reply(self, number: int) -> Map:
        """The reply to a command."""
        await self._until(lambda: number in self._replies)
        return self._replies.pop(number)

    async def ask(self, kind: str, /, **fields: Any) -> Map:
        """What a command was answered, which must be ``ok``."""
        reply = await self.reply(await self.send(kind, **fields))
        assert "ok" in reply, reply
        ok: Map = reply["ok"]
        return ok

    async def refused(self, kind: str, /, **fields: Any) -> Map:
        """Why a command was refused."""
        reply = await self.reply(await self.send(kind, **fields))
        assert "error" in reply, reply
        error: Map = reply["error"]
        return error

    async def event(self, kind: str, **fields: Any) -> Map:
        """The first event of a type with these fields, come or yet to come."""

        def found() -> list[Map]:
            return [e for e in self.events if e["type"] == kind and all(e.get(k) == v for k, v in fields.items())]

        await self._until(lambda: bool(found()))
        return found()[0]

    async def thread(self, **fields: Any) -> str:
        """A new thread, subscribed to; greedy unless said otherwise."""
        fields.setdefault("sampling", {"temperature": 0, "max_tokens": 24})
        thread: str = (await self.ask("thread.create", **fields))["thread"]["id"]
        await self.ask("subscribe", thread=thread)
        return thread

    async def say(self, thread: str, content: str, **fields: Any) -> Map:
        """One chat turn; its ``run.finished``."""
        ops = [{"op": "append", "message": {"role": "user", "content": content}}]
        run = (await self.ask("generate", thread=thread, ops=ops, **fields))["run"]
        return await self.event("run.finished", run=run)

    async def said(self, run: str, tokens: int) -> None:
        """Come back when a run has told so many tokens."""
        await self._until(lambda: any(delta["to"] >= tokens for delta in self.deltas(run)))

    def deltas(self, run: str) -> list[Map]:
        """The deltas of a run."""
        return [event for event in self.events if event["type"] == "run.delta" and event["run"] == run]

    async def more(self) -> None:
        """Take in the next frame."""
        async with asyncio.timeout(PATIENCE):
            frame = await self.socket.recv()
        assert isinstance(frame, str) == (self._encoding == "json")
        message = json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame)
        if message["type"] == "reply":
            assert message["id"] not in self._replies
            self._replies[message["id"]] = message
        else:
            self.events.append(message)

    async def _until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                await self.more()


@asynccontextmanager
async def connected(url: str, encoding: str = "json", **options: Any) -> AsyncIterator[WireClient]:
    """A connection in one of the two encodings."""
    subprotocol = Subprotocol(f"livethread.v1.{encoding}")
    async with websockets.connect(url, subprotocols=[subprotocol], max_size=None, **options) as socket:
        assert socket.subprotocol == subprotocol
        yield WireClient(socket, encoding)


def check_run(client: WireClient, finished: Map) -> None:
    """Deltas touch, begin at 0, join to the text that was stored, and the run ended once."""
    run = finished["run"]
    deltas = client.deltas(run)
    assert [delta["from"] for delta in deltas] == [0, *(delta["to"] for delta in deltas[:-1])][: len(deltas)]
    assert "".join(delta["text"] for delta in deltas) == finished["message"]["content"]
    assert len([e for e in client.events if e["type"] == "run.finished" and e["run"] == run]) == 1


def check_seqs(client: WireClient, thread: str) -> None:
    """The durable events of a thread are dense from 1."""
    seqs = [event["seq"] for event in client.events if event["thread"] == thread and "seq" in event]
    assert seqs == list(range(1, len(seqs) + 1))
