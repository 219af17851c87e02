from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets

from tests.serving import ServerProcess
from tests.wireclient import Map, WireClient, connected

STORY = [{"op": "append", "message": {"role": "user", "content": "Tell me a long story about a lighthouse."}}]
GREEDY = {"temperature": 0, "max_tokens": 150}


@pytest.fixture
def own_server(model_path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server of the test's own, with the flags of its ``parametrize``."""
    server = ServerProcess(tmp_path, model_path, *getattr(request, "param", ()))
    yield server
    server.stop(signal.SIGKILL)


async def streaming(client: WireClient, tokens: int, **fields: Any) -> tuple[str, str]:
    """A thread and its run, which has said so many tokens."""
    thread = await client.thread(sampling=GREEDY | fields)
    run: str = (await client.ask("generate", thread=thread, ops=STORY))["run"]
    while not any(delta["to"] >= tokens for delta in client.deltas(run)):
        await client.more()
    return thread, run


async def closed_with(client: WireClient) -> int:
    """The code that the server closes with, behind all that it has to say."""
    try:
        while True:
            await client.more()
    except websockets.ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def refusing(client: WireClient, thread: str) -> None:
    """Return once the server takes nothing new; until then the thread must be busy."""
    while True:
        error = (await client.reply(await client.send("generate", thread=thread)))["error"]
        assert error["retryable"]
        if error["code"] == "model_unavailable":
            return
        assert error["code"] == "busy"


def finished(client: WireClient, run: str) -> Map:
    (end,) = [event for event in client.events if event["type"] == "run.finished" and event["run"] == run]
    return end


async def test_sigterm_closes_with_4001_and_exits_with_0(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread()
        engine = own_server.engine()
        assert own_server.stop() == 0
        assert await closed_with(client) == 4001
        assert not engine.is_running()
    own_server.start()
    async with connected(own_server.ws_url) as client:
        assert (await client.ask("thread.get", thread=thread))["thread"]["id"] == thread
    assert own_server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("own_server", [("--drain", "120")], indirect=True)
async def test_a_drain_lets_runs_finish_and_takes_nothing_new(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client, httpx.AsyncClient(base_url=own_server.url) as web:
        thread, run = await streaming(client, 1)
        await client.ask("generate", thread=thread, run="next", if_busy="enqueue", sampling={"max_tokens": 5})
        assert (await web.get("/health")).status_code == 200  # opens what no newcomer is given below
        own_server.send_signal()
        await refusing(client, thread)
        assert (await web.get("/health")).status_code == 503
        with pytest.raises(OSError):
            await websockets.connect(own_server.ws_url)
        assert await closed_with(client) == 4001
        assert [finished(client, one)["reason"] for one in (run, "next")] == ["length", "length"]
    assert own_server.wait() == 0


@pytest.mark.parametrize(
    ("own_server", "signals"), [(("--drain", "0.2"), 1), (("--drain", "1000"), 2)], indirect=["own_server"]
)
async def test_what_is_not_over_when_the_drain_ends_is_interrupted(own_server: ServerProcess, signals: int) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread, run = await streaming(client, 1, max_tokens=1500)
        engine = own_server.engine()
        for _ in range(signals):
            own_server.send_signal()
            await refusing(client, thread)
        assert await closed_with(client) == 4001
        end = finished(client, run)
        assert end["reason"] == "interrupted"
        assert end["message"]["content"] == "".join(delta["text"] for delta in client.deltas(run)) != ""
    assert own_server.wait() == 0
    assert not engine.is_running()
    own_server.launch()
    own_server.wait_listening()
    async with connected(own_server.ws_url) as client:
        assert (await client.ask("thread.get", thread=thread))["thread"]["messages"][-1] == end["message"]


async def test_a_killed_server_goes_on_with_its_runs(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(sampling=GREEDY)
        undisturbed = (await client.say(thread, STORY[0]["message"]["content"]))["message"]  # type: ignore[index]
        thread, run = await streaming(client, 110)
        started = await client.event("run.started", run=run)
        shown = "".join(delta["text"] for delta in client.deltas(run))
        engine = own_server.engine()
        own_server.stop(signal.SIGKILL)
        psutil.wait_procs([engine], timeout=10)
        assert not engine.is_running()
    own_server.launch()
    own_server.wait_listening()
    async with connected(own_server.ws_url) as client:
        joined = await client.ask("subscribe", thread=thread)
        assert (joined["seq"], joined["thread"]["messages"][-1]["state"]) == (started["seq"], "streaming")
        assert shown.startswith(joined["run"]["text"])
        end = await client.event("run.finished", run=run)
        recovered = await client.event("run.recovered", run=run)
        assert (recovered["seq"], end["seq"]) == (started["seq"] + 1, started["seq"] + 2)
        assert recovered["message"] == started["message"] == end["message"]["id"]
        assert recovered["text"] == recovered["content"] == joined["run"]["text"]
        deltas = client.deltas(run)
        assert [delta["from"] for delta in deltas] == [recovered["to"], *(delta["to"] for delta in deltas[:-1])]
        assert recovered["text"] + "".join(delta["text"] for delta in deltas) == end["message"]["content"]
        assert end["message"]["content"] == undisturbed["content"]
        assert end["usage"]["completion_tokens"] == undisturbed["usage"]["completion_tokens"]


@pytest.mark.parametrize("own_server", [("--on-restart", "keep")], indirect=True)
async def test_a_killed_server_keeps_what_it_announced(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(sampling={"max_tokens": 1000})
        asked = await client.ask("generate", thread=thread, ops=STORY, key="k")
        started = await client.event("run.started", run=asked["run"])
        own_server.stop(signal.SIGKILL)
    own_server.start()
    async with connected(own_server.ws_url) as client:
        got = (await client.ask("thread.get", thread=thread))["thread"]
        assert [message["state"] for message in got["messages"]] == ["done", "interrupted"]
        assert got["seq"] == started["seq"] + 1
        assert (await client.ask("runs", thread=thread))["runs"][0]["reason"] == "interrupted"
        assert await client.ask("generate", thread=thread, ops=STORY, key="k") == asked
        await client.ask("subscribe", thread=thread)
        end = await client.say(thread, "Go on.", sampling={"max_tokens": 4})
        seqs = [event["seq"] for event in client.events if "seq" in event]
        assert seqs == list(range(got["seq"] + 1, end["seq"] + 1))


async def test_a_second_server_on_the_same_state_is_refused(own_server: ServerProcess, model_path: Path) -> None:
    own_server.start()
    second = ServerProcess(own_server.folder, model_path)
    with pytest.raises(AssertionError, match="Another server uses"):
        second.start()
