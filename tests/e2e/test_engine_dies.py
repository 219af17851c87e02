from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.serving import ServerProcess
from tests.wireclient import Map, WireClient, check_run, check_seqs, connected

RUNS = 8
SAMPLING: Map = {"temperature": 0, "max_tokens": 40, "logit_bias": {"0": -1000.0, "2": -1000.0}}


@pytest.fixture
def own_server(model_path: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, model_path, "--watchdog", "3")
    server.start()
    yield server
    server.stop()


async def begin(client: WireClient, **sampling: Any) -> list[tuple[str, str]]:
    """Eight threads with a run each: (thread, run), all asked at once."""
    threads = [await client.thread(sampling=SAMPLING | sampling) for _ in range(RUNS)]
    asked = [
        await client.send(
            "generate",
            thread=thread,
            ops=[{"op": "append", "message": {"role": "user", "content": f"Tell me {number} things about the sea."}}],
        )
        for number, thread in enumerate(threads)
    ]
    runs = [(await client.reply(number))["ok"]["run"] for number in asked]
    return list(zip(threads, runs, strict=True))


async def texts(client: WireClient, begun: list[tuple[str, str]]) -> list[str]:
    """The final messages, each checked against the events that told it."""
    finals = []
    for thread, run in begun:
        finished = await client.event("run.finished", run=run)
        assert (finished["reason"], finished["usage"]["completion_tokens"]) == ("length", 40)
        started = [event for event in client.events if event["type"] == "run.started" and event["run"] == run]
        assert len(started) == 1
        assert started[0]["prompt_tokens"] == finished["usage"]["prompt_tokens"]
        check_run(client, finished)
        check_seqs(client, thread)
        finals.append(finished["message"]["content"])
    return finals


async def said(client: WireClient, begun: list[tuple[str, str]], tokens: int) -> None:
    """Come back when every run has said so many tokens."""
    for _, run in begun:
        await client.said(run, tokens)


async def test_eight_runs_outlive_their_engine_token_for_token(own_server: ServerProcess) -> None:
    async with connected(own_server.ws_url) as client:
        undisturbed = await texts(client, await begin(client))
        for how, tokens in ((signal.SIGKILL, 15), (signal.SIGSTOP, 5)):
            begun = await begin(client)
            await said(client, begun, tokens)
            own_server.engine().send_signal(how)
            assert await texts(client, begun) == undisturbed
            assert own_server.health() == 200


async def test_a_run_is_cancelled_while_the_engine_is_down(own_server: ServerProcess) -> None:
    async with connected(own_server.ws_url) as client:
        begun = await begin(client, max_tokens=1000)
        await said(client, begun, 2)
        own_server.engine().kill()
        while own_server.health() == 200:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
        for _, run in begun:
            await client.ask("cancel", run=run)
            finished = await client.event("run.finished", run=run)
            assert finished["reason"] == "cancelled"
            check_run(client, finished)


async def test_a_server_that_is_killed_leaves_no_process_behind(own_server: ServerProcess) -> None:
    async with connected(own_server.ws_url) as client:
        await said(client, await begin(client, max_tokens=1000), 2)
        server = own_server.engine().parent()
        assert server is not None
        children = server.children(recursive=True)
        own_server.stop(signal.SIGKILL)
        assert psutil.wait_procs(children, timeout=10)[1] == []
