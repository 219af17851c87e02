"""A small server that speaks the whole protocol and has a list of words instead of a model.

It keeps each thread as a client does, by applying its own events; so what it tells is its state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import UNSET, Struct, structs
from websockets.asyncio.server import ServerConnection as Socket
from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from livethread import messages as wire
from livethread.errors import CommandError
from livethread.model import Reason, Sampling, Thread, Timings, TokenLogprob, Usage
from livethread.replica import apply
from tests.fake_session import NOBODY as NOBODY
from tests.fake_session import FakeSession


class FakeServer:
    """Says ``words`` in every run, one token each; waits for ``pace`` before each where there is one.

    ``received`` holds every command; ``token`` is what a hello must bring, where one is needed;
    ``failure`` ends every run with an error after its words. ``likely`` tells a logprob of −1 with each word.
    ``muted`` holds replies back.

    Sessions are cut without a word after as many frames, either way, as ``cuts`` says, one number for each session;
    the last holds for ever where it is None. ``forgetful`` knows nothing of a ``since``, ``vague`` no token of it.
    ``refusals`` are the answers to the next commands of their types.
    """

    def __init__(self) -> None:
        self.url = ""
        self.token: str | None = None
        self.words = ["Good", " day", "."]
        self.pace: asyncio.Semaphore | None = None
        self.failure: wire.ErrorBody | None = None
        self.likely = False
        self.muted = False
        self.subprotocol_missing = False
        self.cuts: list[int] = []
        self.forgetful = False
        self.vague = False
        self.refusals: dict[type[wire.Command], list[CommandError]] = {}
        self.greeted = 0
        self.died = ""
        self.histories: dict[str, list[wire.DurableEvent]] = {}
        self.said: dict[str, wire.RunSnapshot] = {}
        self.answers: dict[str, Struct] = {}
        self.watching: set[FakeSession] = set()
        self.received: list[wire.Command] = []
        self.threads: dict[str, Thread] = {}
        self.runs: dict[str, asyncio.Task[None]] = {}
        self.sessions: set[FakeSession] = set()

    def sent(self, kind: type[wire.Command]) -> list[Any]:
        """The received commands of one type."""
        return [command for command in self.received if isinstance(command, kind)]

    async def drop(self, code: int, reason: str) -> None:
        """Close every connection."""
        for session in tuple(self.sessions):
            await session.socket.close(code, reason)

    def cut(self) -> None:
        """Let every connection break off without a word."""
        for session in tuple(self.sessions):
            session.socket.transport.abort()

    async def tell(self, event: wire.Event) -> None:
        """Apply an event and tell it to the thread's subscribers."""
        if isinstance(event, wire.RunDelta):
            was = self.said[event.run]
            self.said[event.run] = structs.replace(was, to=event.to, text=was.text + event.text)
        else:
            self.threads[event.thread] = apply(self.threads[event.thread], _as_kept(event))
        if isinstance(event, wire.DurableEvent):
            self.histories.setdefault(event.thread, []).append(event)
        for session in tuple(self.sessions):
            if event.thread in session.subscribed:
                await session.send(session.codec.encode(event))

    async def durable(self, kind: Callable[..., wire.DurableEvent], thread: str, bump: int, **fields: Any) -> int:
        """Tell a durable event with the thread's next seq; the thread's version then."""
        now = self.threads[thread]
        version = now.version + bump
        await self.tell(kind(thread=thread, seq=now.seq + 1, version=version, **fields))
        return version

    async def run(self, thread: str, run: str, message: str) -> None:
        """Write the words into a message, until they end or somebody cancels."""
        self.said[run] = wire.RunSnapshot(run, message, 0, 0, "")
        await self.durable(
            wire.RunStarted,
            thread,
            0,
            run=run,
            message=message,
            model="fake",
            instance="fake",
            prompt_tokens=1,
            reused_tokens=0,
            sampling=Sampling(temperature=0, seed=7),
            by=NOBODY,
        )
        await self._write(thread, run)

    async def restart(self, run: str, kept: int, words: list[str]) -> None:
        """Die, come back with the first ``kept`` words of a run, and go on behind them with those of ``words``."""
        self.vague, self.died, self.words = True, run, words
        self.cut()
        self.runs[run].cancel()
        await asyncio.wait([self.runs[run]])
        self.died = ""
        said = self.said[run] = structs.replace(self.said[run], to=kept, text="".join(words[:kept]))
        thread = next(one for one in self.threads.values() if any(m.run == run for m in one.messages))
        await self.durable(
            wire.RunRecovered,
            thread.id,
            0,
            run=run,
            message=said.message,
            to=kept,
            text=said.text,
            content=said.text,
        )
        self.runs[run] = asyncio.create_task(self._write(thread.id, run))

    async def _write(self, thread: str, run: str) -> None:
        reason: Reason = "stop" if self.failure is None else "error"
        try:
            for token in range(self.said[run].to, len(self.words)):
                if self.pace is not None:
                    await self.pace.acquire()
                text = self.words[token]
                likely = (TokenLogprob(token, text, tuple(text.encode()), -1.0),) if self.likely else UNSET
                await self.tell(
                    wire.RunDelta(thread=thread, run=run, start=token, to=token + 1, text=text, logprobs=likely)
                )
        except asyncio.CancelledError:
            if self.died == run:
                return
            reason = "cancelled"
        said = self.said.pop(run)
        await self._finish(thread, run, said.message, said.text, reason)

    async def _finish(self, thread: str, run: str, message: str, said: str, reason: Reason) -> None:
        was = next(one for one in self.threads[thread].messages if one.id == message)
        state = {"stop": "done", "error": "failed", "cancelled": "cancelled"}[reason]
        usage, timings = Usage(1, len(said.split()), 0), Timings(0.5, 0.5, 1.0, 1.0)
        whole: Any = {"content": was.content + said, "state": state, "reason": reason, "usage": usage}
        await self.durable(
            wire.RunFinished,
            thread,
            0,
            run=run,
            reason=reason,
            message=structs.replace(was, **whole, timings=timings),
            usage=usage,
            timings=timings,
            error=UNSET if self.failure is None else self.failure,
        )


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A `FakeServer` on loopback."""
    fake = FakeServer()

    async def session(socket: Socket) -> None:
        await FakeSession(fake, socket).serve()

    def choose(_: Socket, offered: Any) -> Subprotocol | None:
        return None if fake.subprotocol_missing else offered[0]

    async with serve(session, "127.0.0.1", 0, select_subprotocol=choose) as server:
        port = server.sockets[0].getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/v1/ws"
        yield fake
        for run in fake.runs.values():
            run.cancel()
        await asyncio.gather(*fake.runs.values())


def _as_kept(event: wire.Event) -> wire.Event:
    """What is kept of a message that streams is what it held before the run."""
    if isinstance(event, wire.RunRecovered):
        return structs.replace(event, content=event.content.removesuffix(event.text))
    return event
