"""The how-to's bot, exactly as it is printed, in a process of its own."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import livethread
from tests import howto
from tests.cutting import wire_to
from tests.serving import ServerProcess

PAGE = "low-latency-bot.md"
STORY = livethread.Sampling(temperature=0, max_tokens=150, logit_bias={0: -1000.0, 2: -1000.0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bot")
    howto.save(PAGE, folder)
    return folder


class Bot:
    """A running bot, with somebody who talks to it."""

    def __init__(self, script: Path, url: str, thread: str) -> None:
        self.process = howto.run(script, LIVETHREAD_URL=url, BOT_THREAD=thread)
        self.said: list[str] = []
        self.patience = threading.Timer(howto.PATIENCE_SECONDS, self.process.kill)
        self.patience.start()

    def hear(self, line: str) -> None:
        print(line, file=self._pipe(self.process.stdin), flush=True)

    def until(self, wanted: str) -> re.Match[str]:
        """Read what it says up to a line of this kind."""
        for line in self._pipe(self.process.stdout):
            self.said.append(line.strip())
            if match := re.search(wanted, line):
                return match
        raise AssertionError(f"The bot ended without saying {wanted!r}:\n" + "\n".join(self.said))

    def end(self) -> int:
        """Say goodbye, read the rest; the exit code."""
        rest, _ = self.process.communicate(timeout=howto.PATIENCE_SECONDS)
        self.said += rest.splitlines()
        return self.process.returncode

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture
def bots(folder: Path) -> Iterator[list[Bot]]:
    """The bots of a test; none outlives it."""
    bots: list[Bot] = []
    yield bots
    for bot in bots:
        bot.patience.cancel()
        bot.process.kill()
        bot.process.communicate()


async def talkative(server: ServerProcess, thread: str) -> None:
    """Make the bot's thread before the bot does, with replies that are long enough to be disturbed."""
    async with livethread.connect(server.ws_url) as client:
        await client.create(thread=thread, sampling=STORY)


def test_it_speaks_by_sentences_and_reads_what_is_being_said(
    live_server: ServerProcess, folder: Path, bots: list[Bot]
) -> None:
    bot = Bot(folder / "bot.py", live_server.ws_url, "front-desk")
    bots.append(bot)
    bot.until("^context: ")
    bot.hear("Good morning! I wanted to ask …")
    bot.hear("Good morning! I wanted to ask if you are open today.")
    bot.until(r"^bot: \w")
    reused, read = bot.until(r"ms, (\d+) of (\d+) tokens were read before").groups()
    assert 0 < int(reused) < int(read)
    assert bot.end() == 0


def test_it_stops_speaking_when_it_is_interrupted(live_server: ServerProcess, folder: Path, bots: list[Bot]) -> None:
    asyncio.run(talkative(live_server, "interrupted"))
    bot = Bot(folder / "bot.py", live_server.ws_url, "interrupted")
    bots.append(bot)
    bot.until("^context: ")
    bot.hear("Tell me everything about your town.")
    bot.until("^bot: ")
    bot.hear("What is its name?")
    bot.until(r"^\(interrupted\)")
    bot.until("^bot: ")


async def test_it_goes_on_after_a_cut(live_server: ServerProcess, folder: Path, bots: list[Bot]) -> None:
    await talkative(live_server, "cut-bot")
    async with wire_to(live_server.ws_url) as wire:
        wire.cuts = [14]
        bot = Bot(folder / "bot.py", wire.url, "cut-bot")
        bots.append(bot)
        await asyncio.to_thread(bot.until, "^context: ")
        bot.hear("Tell me everything about your town.")
        while wire.connections < 2:
            await asyncio.to_thread(bot.until, "^bot: ")
        await asyncio.to_thread(bot.until, "^bot: ")
        bot.process.kill()
        assert not [line for line in bot.said if line.startswith("(")]


def test_a_message_that_is_delivered_again_is_not_answered_again(live_server: ServerProcess, folder: Path) -> None:
    process = howto.run(folder / "once.py", LIVETHREAD_URL=live_server.ws_url)
    said, _ = process.communicate(timeout=howto.PATIENCE_SECONDS)
    assert said.splitlines() == ["17 was answered", "17 had come before", "18 was answered"]
    assert process.returncode == 0
