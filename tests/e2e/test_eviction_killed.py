"""``kill -9`` in the middle of an eviction: of the server, and of the engine alone, at moments drawn by chance."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from livethread_server.disk_cache import DiskCache
from tests.serving import ServerProcess
from tests.wireclient import WireClient, connected

THREADS = 3
DICE = random.Random(7)
MOMENTS = [DICE.uniform(0.0, 0.12) for _ in range(10 if "LIVETHREAD_FUZZ" in os.environ else 1)]
"""Seconds after the evictions were asked for; more of them in `make fuzz`."""
LONG = "Rivers carry water from the mountains to the sea, and they never hurry. " * 17
QUESTION = "And lakes?"
WHOLE = 256
"""Tokens of every thread's first chunk."""


@pytest.fixture
def own_server(model_path: Path, tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path, model_path, "--threads", "2")


async def asked(client: WireClient, thread: str) -> tuple[str, int]:
    """What a thread answers to the question, which is taken back, and how many tokens were reused."""
    finished = await client.say(thread, QUESTION)
    started = await client.event("run.started", run=finished["run"])
    assert started["reused_tokens"] == sum(started["sources"].values()) < started["prompt_tokens"]
    await client.ask("mutate", thread=thread, ops=[{"op": "truncate", "after": "last"}])
    return finished["message"]["content"], started["reused_tokens"]


async def grown(client: WireClient, name: str) -> dict[str, str]:
    """New threads that are live, and what each answers. Nothing in them was generated: generated tokens that are
    read again as a prompt may be followed by other words, with nothing wrong.
    """
    answers = {}
    for number in range(THREADS):
        messages = [
            {"role": "user", "content": f"{name} {number}. {LONG}"},
            {"role": "assistant", "content": "Fine.", "id": "last"},
        ]
        thread = await client.thread(sampling={"temperature": 0, "max_tokens": 6}, messages=messages)
        answers[thread], _ = await asked(client, thread)
    return answers


async def evicted_until(client: WireClient, threads: list[str], moment: float) -> set[str]:
    """Ask for the eviction of all; those of which it was said in time that they are on disk."""
    numbers = {thread: await client.send("evict", thread=thread) for thread in threads}
    done: set[str] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(moment):
            for thread, number in numbers.items():
                reply = await client.reply(number)
                assert reply["ok"] == {"residency": "disk"}
                done.add(thread)
    return done


async def check(client: WireClient, expected: dict[str, str], on_disk: set[str]) -> None:
    """Every thread answers as before; what was said to be on disk is."""
    for thread, answer in expected.items():
        await client.ask("subscribe", thread=thread)
        again, reused = await asked(client, thread)
        assert again == answer
        assert reused > WHOLE or thread not in on_disk


@asynccontextmanager
async def once_ready(server: ServerProcess) -> AsyncIterator[WireClient]:
    """A connection to a server that can generate."""
    await asyncio.to_thread(server.wait_healthy)
    async with connected(server.ws_url) as client:
        yield client


@pytest.mark.timeout(1200)
async def test_a_server_killed_while_it_evicts_loses_no_thread_and_leaves_no_bad_file(
    own_server: ServerProcess,
) -> None:
    own_server.start()
    for number, moment in enumerate(MOMENTS):
        async with once_ready(own_server) as client:
            fresh = await grown(client, f"Round {number}")
            on_disk = await evicted_until(client, list(fresh), moment)
            engine = own_server.engine()
            own_server.stop(signal.SIGKILL)
            engine.wait(timeout=10)
        good, bad = DiskCache(own_server.folder / "state" / "cache").verify()
        assert bad == 0
        assert good >= len(on_disk)
        own_server.start()
        async with once_ready(own_server) as client:
            await check(client, fresh, on_disk)
    own_server.stop()
    assert DiskCache(own_server.folder / "state" / "cache").verify()[1] == 0
    assert "was removed, since" not in own_server.log.read_text()


@pytest.mark.timeout(1200)
async def test_an_engine_killed_while_it_evicts_loses_no_thread_and_leaves_no_bad_file(
    own_server: ServerProcess,
) -> None:
    own_server.start()
    for number, moment in enumerate(MOMENTS):
        async with once_ready(own_server) as client:
            fresh = await grown(client, f"Round {number}")
            on_disk = await evicted_until(client, list(fresh), moment)
            engine = own_server.engine()
            engine.kill()
            engine.wait(timeout=10)
        async with once_ready(own_server) as client:
            await check(client, fresh, on_disk)
    own_server.stop()
    assert DiskCache(own_server.folder / "state" / "cache").verify()[1] == 0
    assert "was removed, since" not in own_server.log.read_text()
