"""A real server that wants to know who one is: tokens given out on the command line, two people, their contexts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets

from tests.serving import ServerProcess
from tests.wireclient import WireClient, connected

PROMPT = "You answer in one short sentence and you never say anything else than what you were asked for."
GREEDY = {"temperature": 0, "max_tokens": 4}


def token_cli(folder: Path, *arguments: str) -> str:
    """What ``livethread token`` prints."""
    command = [sys.executable, "-m", "livethread_server.cli", "token", *arguments, "--state-dir", str(folder / "state")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.fixture(scope="module")
def guarded(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on all addresses, with a system prompt of its own, that wants tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "prompt.txt").write_text(PROMPT)
    flags = ("--host", "0.0.0.0", "--auth", "token", "--system-prompt", str(folder / "prompt.txt"))
    server = ServerProcess(folder, model_path, *flags, "--log-level", "debug")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tokens(guarded: ServerProcess) -> dict[str, str]:
    """Tokens by name, given out while the server runs."""
    return {name: token_cli(guarded.folder, "new", name) for name in ("alice", "bob")}


async def first_turn(client: WireClient, thread: str, content: str) -> int:
    """Say something on a new thread; how many tokens of the prompt were in a context already."""
    await client.thread(thread=thread, sampling=GREEDY)
    reused: int = (await client.say(thread, content))["usage"]["reused_tokens"]
    return reused


async def test_nobody_is_answered_without_a_token_and_everybody_with_his(
    guarded: ServerProcess, tokens: dict[str, str]
) -> None:
    async with connected(guarded.ws_url) as client:
        assert (await client.refused("thread.list"))["code"] == "unauthorized"
        assert (await client.refused("hello", token="lt_wrong"))["code"] == "unauthorized"
        assert (await client.ask("hello", token=tokens["alice"]))["principal"]["id"] == "alice"
    async with httpx.AsyncClient(base_url=guarded.url) as web:
        assert (await web.get("/v1/stats")).status_code == 401
        headers = {"authorization": f"Bearer {tokens['bob']}"}
        assert (await web.get("/v1/stats", headers=headers)).status_code == 200
        for origin in ("https://evil.example", "null", "http://0.0.0.0"):
            assert (await web.get("/v1/stats", headers={**headers, "origin": origin})).status_code == 403
        assert (await web.get("/health", headers={"host": "0.0.0.0"})).status_code == 403


async def test_two_people_share_the_operators_prompt_and_nothing_else(
    guarded: ServerProcess, tokens: dict[str, str]
) -> None:
    words = "Tell me, in a few words and without any hurry at all, what the weather in Rome is like in early May."
    async with connected(guarded.ws_url) as alice, connected(guarded.ws_url) as bob:
        await alice.ask("hello", token=tokens["alice"])
        await bob.ask("hello", token=tokens["bob"])
        await first_turn(alice, "a1", words)
        again = await first_turn(alice, "a2", words)
        others = await first_turn(bob, "b1", words)
        both = (await bob.event("run.started", thread="b1"))["prompt_tokens"]
    assert others < again < both
    assert others < both / 2 + 8  # the operator's prompt, and not a word of alice's
    assert again > both - 16


async def test_a_thread_is_shared_by_an_invite(guarded: ServerProcess, tokens: dict[str, str]) -> None:
    async with connected(guarded.ws_url) as alice, connected(guarded.ws_url, "msgpack") as bob:
        await alice.ask("hello", token=tokens["alice"])
        await bob.ask("hello", token=tokens["bob"])
        await alice.thread(thread="shared", sampling=GREEDY)
        assert (await bob.refused("subscribe", thread="shared"))["code"] == "not_found"
        invite = (await alice.ask("thread.share", thread="shared", invite=True, role="participant"))["invite"]
        await bob.ask("thread.share", thread="shared", invite=invite)
        await bob.ask("subscribe", thread="shared")
        finished = await bob.say("shared", "Hello")
        told = await alice.event("run.finished", thread="shared")
        assert told["message"]["content"] == finished["message"]["content"]
        await alice.ask("thread.share", thread="shared", principal="bob", role="none")
        assert (await bob.event("thread.deleted"))["thread"] == "shared"
        assert (await bob.refused("thread.get", thread="shared"))["code"] == "not_found"


async def test_shares_and_tokens_outlive_the_server_and_a_revoked_token_ends_its_session(
    guarded: ServerProcess, tokens: dict[str, str]
) -> None:
    async with connected(guarded.ws_url) as alice:
        await alice.ask("hello", token=tokens["alice"])
        await alice.ask("thread.create", thread="lasting")
        await alice.ask("thread.share", thread="lasting", principal="bob", role="viewer")
    guarded.restart()
    async with connected(guarded.ws_url) as bob:
        await bob.ask("hello", token=tokens["bob"])
        assert "lasting" in [thread["id"] for thread in (await bob.ask("thread.list"))["threads"]]
        assert (await bob.refused("mutate", thread="lasting", ops=[{"op": "truncate", "after": None}]))["code"] == (
            "forbidden"
        )
        token_cli(guarded.folder, "revoke", "bob")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await bob.socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4500


def test_nothing_of_a_token_is_in_the_log_at_any_level(guarded: ServerProcess, tokens: dict[str, str]) -> None:
    log = guarded.log.read_text()
    assert not [name for name, token in tokens.items() if token[3:] in log]
