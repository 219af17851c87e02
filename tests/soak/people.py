"""Somebody who uses the server as people do: talks, changes his mind, goes and comes back.

He knows what he was told, and can say in the end whether it still holds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import livethread
from livethread import Client, ClientThread, CommandError, LivethreadError, RunFailed

THREADS = 6
"""How many threads all people share."""
PATIENCE = 120.0
"""Seconds after which whoever waits for anything counts as hanging."""
WORDS = ("Why", "is", "the", "sea", "so", "deep", "and", "what", "lives", "there", "tell", "me", "more", "please")
EXPECTED = frozenset(
    ("busy", "not_found", "queue_full", "model_loading", "model_unavailable", "bad_request", "context_overflow")
)
"""Refusals that happen where several people do as they like."""


class Person:
    """One of those people. ``complaints`` are what went wrong for him."""

    def __init__(self, url: str, number: int, seed: int) -> None:
        self.complaints: list[str] = []
        self.turns = 0
        self._url = url
        self._name = f"person {number}"
        self._chance = random.Random(seed)

    async def live(self, until: float) -> None:
        """Do as people do until a moment of the loop's clock."""
        clock = asyncio.get_running_loop().time
        while clock() < until:
            try:
                async with asyncio.timeout(PATIENCE), livethread.connect(self._url) as client:
                    for _ in range(self._chance.randrange(1, 12)):
                        if clock() < until:
                            await self._act(client)
            except TimeoutError:
                self.complaints.append(f"{self._name} waited for more than {PATIENCE:g} s.")
            except RunFailed as error:
                if error.code not in EXPECTED:
                    self.complaints.append(f"{self._name} was told that {error}.")
            except CommandError as error:
                if error.code not in EXPECTED:
                    self.complaints.append(f"{self._name} was refused: {error}.")
            except LivethreadError:
                await asyncio.sleep(self._chance.random())  # the server is away longer than a client tries

    async def _act(self, client: Client) -> None:
        name = f"soak-{self._chance.randrange(THREADS)}"
        thread = await client.create(thread=name, if_exists="get")
        act = self._chance.choice((self._say, self._say, self._say, self._break_off, self._change, self._listen))
        await act(thread)
        self.turns += 1

    async def _say(self, thread: ClientThread) -> None:
        pieces = [piece async for piece in self._reply(thread)]
        del pieces

    async def _break_off(self, thread: ClientThread) -> None:
        """Stop reading in the middle, which cancels the run."""
        left = self._chance.randrange(1, 8)
        async with _closing(self._reply(thread)) as reply:
            async for _ in reply:
                left -= 1
                if not left:
                    return

    async def _change(self, thread: ClientThread) -> None:
        await thread.attach()
        if len(thread.messages) > 12:
            await thread.truncate(None)
            return
        said = [message for message in thread.messages if message.role == "user"]
        if said:
            await thread.edit(self._chance.choice(said).id, self._words())
        else:
            await thread.append(self._words())

    async def _listen(self, thread: ClientThread) -> None:
        await thread.attach()
        await asyncio.sleep(self._chance.random())
        await thread.unsubscribe()

    async def _reply(self, thread: ClientThread) -> AsyncIterator[str]:
        stream = thread.generate(
            livethread.Append(livethread.Draft("user", self._words())),
            if_busy=self._chance.choice(("enqueue", "interrupt", "rollback")),
            sampling=livethread.Sampling(max_tokens=self._chance.randrange(1, 40)),
        )
        told = ""
        async for piece in stream:
            told += piece
            yield piece
        if stream.message is not None and stream.message.content != told:
            self.complaints.append(f"{self._name} was told {told!r}, but the message is {stream.message.content!r}.")

    def _words(self) -> str:
        return " ".join(self._chance.choices(WORDS, k=self._chance.randrange(2, 20))) + "."


@asynccontextmanager
async def _closing(reply: AsyncIterator[str]) -> AsyncIterator[AsyncIterator[str]]:
    try:
        yield reply
    finally:
        await reply.aclose()  # type: ignore[attr-defined]
