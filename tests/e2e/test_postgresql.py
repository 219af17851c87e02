"""The whole server over PostgreSQL: a chat, a sudden death, and everything is there again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PASSWORD, PostgresServer
from tests.serving import ServerProcess
from tests.wireclient import connected

GREEDY = {"temperature": 0, "max_tokens": 16}
HELLO = [{"op": "append", "message": {"role": "user", "content": "Say hello."}}]


@pytest.fixture
def own_server(
    model_path: Path, tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> Iterator[ServerProcess]:
    url = postgres.by_password(postgres_url)
    server = ServerProcess(tmp_path, model_path, "--store", url, "--store-connections", "3")
    yield server
    server.stop()


async def test_a_server_that_is_killed_finds_everything_in_its_database(own_server: ServerProcess) -> None:
    own_server.start()
    async with connected(own_server.ws_url) as client:
        thread = await client.thread(title="Zoë")
        asked = await client.ask("generate", thread=thread, ops=HELLO, sampling=GREEDY, key="k")
        said = await client.event("run.finished", run=asked["run"])
        run = (await client.ask("generate", thread=thread, mode="regenerate", sampling=GREEDY))["run"]
        await client.event("run.started", run=run)
        own_server.stop(signal.SIGKILL)
    own_server.launch()
    own_server.wait_listening()
    async with connected(own_server.ws_url) as client:
        assert (await client.ask("thread.list"))["threads"][0]["title"] == "Zoë"
        joined = await client.ask("subscribe", thread=thread, since={"epoch": "other", "seq": 0})
        assert joined["seq"] > said["seq"]
        assert await client.ask("generate", thread=thread, ops=HELLO, sampling=GREEDY, key="k") == asked
        runs = {one["id"]: one["state"] for one in (await client.ask("runs", thread=thread))["runs"]}
        assert set(runs) == {asked["run"], run}
        if runs[run] != "finished":
            await client.event("run.finished", run=run)
        messages = (await client.ask("thread.get", thread=thread))["thread"]["messages"]
        assert [(one["role"], one["state"]) for one in messages] == [("user", "done"), ("assistant", "done")]
        assert messages[1]["content"] == said["message"]["content"]
    assert own_server.stop() == 0
    assert PASSWORD not in own_server.log.read_text()
    assert not list((own_server.folder / "state").glob("*.db*"))
