"""The memory tiers of a real server with a real model: what is reused, from where, and what nobody can break."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.typing import Subprotocol

from tests.serving import ServerProcess
from tests.wireclient import WireClient, connected

GREEDY = {"temperature": 0, "max_tokens": 8}
LONG = "Rivers carry water from the mountains to the sea, and they never hurry. " * 17
"""Some 300 tokens: a whole chunk and a tail."""


@pytest.fixture
def own_server(model_path: Path, tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path, model_path, "--threads", "2")


def user(content: str) -> dict[str, Any]:
    return {"op": "append", "message": {"role": "user", "content": content}}


async def figures(server: ServerProcess) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        found: dict[str, Any] = (await client.get(f"{server.url}/v1/stats")).json()
        return found


async def read_ahead(server: ServerProcess, tokens: int) -> None:
    """Come back once so many tokens are live."""
    async with asyncio.timeout(60):
        while (await figures(server))["live"]["tokens"] < tokens:  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0.05)


async def residency(client: WireClient, thread: str, *, wanted: str) -> None:
    """Come back once the thread's context is where it is wanted."""
    async with asyncio.timeout(30):
        while (await client.ask("thread.get", thread=thread))["thread"]["residency"] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def started(client: WireClient, finished: dict[str, Any]) -> dict[str, Any]:
    return await client.event("run.started", run=finished["run"])


async def test_an_evicted_thread_is_on_disk_over_a_restart_and_goes_on_from_there(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(sampling=GREEDY)
        first = await client.say(thread, LONG)
        assert await client.ask("evict", thread=thread) == {"residency": "disk"}
        await client.event("thread.residency", thread=thread, residency="disk")
    own_server.restart()
    async with connected(own_server.ws_url) as client:
        await residency(client, thread, wanted="disk")
        await client.ask("subscribe", thread=thread)
        start = await started(client, await client.say(thread, "And lakes?"))
        assert start["sources"]["disk"] == start["reused_tokens"] >= first["usage"]["prompt_tokens"]
        assert start["prompt_tokens"] - start["reused_tokens"] < 40
        assert (await figures(own_server))["hit_rates"]["disk"] > 0.8
        await client.ask("evict", thread=thread)
        assert await client.ask("warm", thread=thread) == {"residency": "live"}
        again = await started(client, await client.say(thread, "And seas?"))
        assert again["sources"]["live"] == again["reused_tokens"] > start["prompt_tokens"]
        await client.ask("thread.delete", thread=thread)
        async with asyncio.timeout(30):
            while (await figures(own_server))["tiers"]["disk"]["chunks"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    own_server.stop()


async def test_what_was_appended_and_what_is_typed_is_read_ahead(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(sampling=GREEDY)
        await client.ask("mutate", thread=thread, ops=[user(LONG)])
        await read_ahead(own_server, 256)
        run = (await client.ask("generate", thread=thread))["run"]
        finished = await client.event("run.finished", run=run)
        start = await started(client, finished)
        assert start["sources"]["live"] == start["reused_tokens"] > 256
        typed = "Tell me, while I am typing this rather long question, which of them is the longest"
        before = (await figures(own_server))["live"]["tokens"]
        await client.ask("draft", thread=thread, text=typed)
        await read_ahead(own_server, before + 15)
        asked = await started(client, await client.say(thread, typed + " of all?"))
        assert asked["prompt_tokens"] - asked["reused_tokens"] < 12
        mutations = [event for event in client.events if event["type"] == "thread.mutated"]
        assert len([event for event in mutations if "typing" in str(event)]) == 1
    own_server.stop()


async def test_dropping_the_oldest_turns_computes_little_again(model_path: Path, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, model_path, "--context", "256")
    server.start()
    async with connected(server.ws_url) as client:
        thread = await client.thread(
            sampling=GREEDY, overflow="drop_oldest", messages=[{"role": "system", "content": "Be brief."}]
        )
        computed, new, dropped = 0, 0, [0]
        for turn in range(16):
            if turn == 10:  # what was dropped is known again after a restart, and from the disk
                await client.ask("evict", thread=thread)
                server.restart()
                client = await again(client, server, thread)
            start = await started(client, await client.say(thread, f"Number {turn}: say something about it, please."))
            computed += start["prompt_tokens"] - start["reused_tokens"]
            new += 30
            dropped.append(start["dropped"])
            assert start["prompt_tokens"] < 256
        await client.socket.close()
    assert dropped == sorted(dropped)
    assert dropped[-1] >= 12
    assert len(set(dropped)) < len(dropped) / 2
    assert computed < 4 * new
    server.stop()


async def again(client: WireClient, server: ServerProcess, thread: str) -> WireClient:
    """The same client connected anew, subscribed to the thread."""
    socket = await websockets.connect(server.ws_url, subprotocols=[Subprotocol("livethread.v1.json")])
    fresh = WireClient(socket, "json")
    await fresh.ask("subscribe", thread=thread)
    return fresh


def flip(path: Path, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path: Path, _: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[:-77])


def swap(path: Path, others: list[Path]) -> None:
    shutil.copyfile(next(other for other in others if other != path), path)


def empty(path: Path, _: list[Path]) -> None:
    path.write_bytes(b"")


DAMAGES = (flip, cut, swap, empty)


async def test_hostile_cache_files_cost_time_and_change_no_word(own_server: ServerProcess) -> None:
    own_server.start()
    expected, threads = {}, []
    async with connected(own_server.ws_url) as client:
        for words in (LONG, "Say hello.", "Say good bye."):
            # Nothing in it was generated: generated tokens that are read again as a prompt may be followed by
            # other words, with nothing wrong.
            messages = [{"role": "user", "content": words}, {"role": "assistant", "content": "Fine.", "id": "last"}]
            thread = await client.thread(sampling=GREEDY, messages=messages)
            threads.append(thread)
            await client.ask("warm", thread=thread)
            expected[thread] = (await client.say(thread, "And lakes?"))["message"]["content"]
            await client.ask("mutate", thread=thread, ops=[{"op": "truncate", "after": "last"}])
            assert await client.ask("evict", thread=thread) == {"residency": "disk"}
    own_server.stop()
    chunks = sorted((own_server.folder / "state" / "cache" / "chunks").iterdir(), key=lambda path: path.stat().st_size)
    assert len(chunks) >= len(DAMAGES)
    for number, path in enumerate(chunks):
        DAMAGES[number % len(DAMAGES)](path, chunks)
    own_server.start()
    async with connected(own_server.ws_url) as client:
        for thread in threads:
            await client.ask("subscribe", thread=thread)
            finished = await client.say(thread, "And lakes?")
            assert finished["message"]["content"] == expected[thread]
            assert finished["usage"]["reused_tokens"] < 30
    assert own_server.log.read_text().count("was removed") >= len(DAMAGES)
    own_server.stop()
