from __future__ import annotations

import signal
from pathlib import Path

import pytest
import websockets

from tests.serving import ServerProcess
from tests.wireclient import connected


@pytest.fixture
def own_server(model_path: Path, tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path, model_path)


async def test_sigterm_closes_with_4001_and_exits_with_0(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread()
        engine = own_server.engine()
        assert own_server.stop() == 0
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4001
        assert not engine.is_running()
    own_server.start()
    async with connected(own_server.ws_url) as client:
        assert (await client.ask("thread.get", thread=thread))["thread"]["id"] == thread
    assert own_server.stop(signal.SIGINT) == 0


async def test_a_killed_server_keeps_what_it_announced_and_ends_its_runs(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(sampling={"max_tokens": 1000})
        ops = [{"op": "append", "message": {"role": "user", "content": "Write a long story."}}]
        asked = await client.ask("generate", thread=thread, ops=ops, key="k")
        started = await client.event("run.started", run=asked["run"])
        engine = own_server.engine()
        own_server.stop(signal.SIGKILL)
        engine.wait(timeout=10)
    own_server.start()
    async with connected(own_server.ws_url) as client:
        got = (await client.ask("thread.get", thread=thread))["thread"]
        assert [message["state"] for message in got["messages"]] == ["done", "interrupted"]
        assert got["seq"] == started["seq"] + 1
        assert (await client.ask("runs", thread=thread))["runs"][0]["reason"] == "interrupted"
        assert await client.ask("generate", thread=thread, ops=ops, key="k") == asked
        await client.ask("subscribe", thread=thread)
        finished = await client.say(thread, "Go on.", sampling={"max_tokens": 4})
        assert finished["seq"] > got["seq"]
        seqs = [event["seq"] for event in client.events if "seq" in event]
        assert seqs == list(range(got["seq"] + 1, finished["seq"] + 1))
    own_server.stop()


async def test_a_second_server_on_the_same_state_is_refused(own_server: ServerProcess, model_path: Path) -> None:
    own_server.start()
    second = ServerProcess(own_server.folder, model_path)
    with pytest.raises(AssertionError, match="Another server uses"):
        second.start()
    own_server.stop()
