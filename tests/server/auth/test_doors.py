"""What a stranger meets at the WebSocket door, and how a token is brought there."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

import livethread
from livethread.errors import CommandError
from livethread.messages import ShareOk, ThreadShare
from livethread_server import websocket
from livethread_server.auth.jwt import JwtAuth, JwtRules
from livethread_server.auth.keys import KeySet
from livethread_server.auth.token_file import TokenFile
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing
from tests.socketry import OpenHouse, opened
from tests.tokens import given_out, jwk, jwks, signed, taken_back
from tests.wireclient import connected

JSON = "livethread.v1.json"


@pytest.fixture
async def doors(guarded: House) -> AsyncIterator[OpenHouse]:
    async with opened(guarded) as doors:
        yield doors


@pytest.fixture
def token(tmp_path: Path) -> str:
    return given_out(tmp_path / "tokens.json", "alice")


def knocking(doors: OpenHouse, *subprotocols: str) -> Any:
    return websockets.connect(doors.ws_url, subprotocols=[Subprotocol(name) for name in subprotocols])


async def closed(socket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await socket.wait_closed()
    assert socket.protocol.close_rcvd is not None
    return socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason


async def test_nothing_is_answered_before_a_hello_with_a_token(doors: OpenHouse, token: str) -> None:
    async with connected(doors.ws_url) as client:
        for kind, fields in (("thread.list", {}), ("ping", {}), ("cancel", {"run": "r"}), ("watch", {})):
            assert (await client.refused(kind, **fields))["code"] == "unauthorized"
        ok = await client.ask("hello", token=token)
        assert ok["principal"] == {"id": "alice", "name": "alice"}
        assert (await client.ask("thread.create", thread="t"))["thread"]["owner"] == "alice"
        assert (await client.refused("hello", token=token))["code"] == "bad_request"


async def test_a_pipelined_command_behind_a_good_hello_is_carried_out(doors: OpenHouse, token: str) -> None:
    async with connected(doors.ws_url, "msgpack") as client:
        hello = await client.send("hello", token=token)
        listed = await client.send("thread.list")
        assert "ok" in await client.reply(hello)
        assert "ok" in await client.reply(listed)


async def test_after_some_wrong_tokens_the_door_is_closed(doors: OpenHouse, token: str) -> None:
    async with connected(doors.ws_url) as client:
        for wrong in (None, token + "x", "")[: websocket.HELLO_TRIES]:
            assert (await client.refused("hello", token=wrong))["code"] == "unauthorized"
        code, reason = await closed(client.socket)
        assert code == 4500
        assert token not in reason
        assert doors.house.gate.inside("alice") == ()


async def test_a_wrong_token_may_be_followed_by_a_right_one(doors: OpenHouse, token: str) -> None:
    async with connected(doors.ws_url) as client:
        await client.refused("hello", token="x")
        await client.ask("hello", token=token)


@pytest.mark.parametrize("order", [1, -1])
async def test_a_browser_brings_its_token_as_a_subprotocol_that_is_never_echoed(
    doors: OpenHouse, token: str, order: int
) -> None:
    async with knocking(doors, *(JSON, f"livethread.token.{token}")[::order]) as socket:
        assert socket.subprotocol == JSON
        assert token not in str(socket.response.headers)
        await socket.send('{"type": "thread.create", "id": 1}')
        assert json.loads(await socket.recv())["ok"]["thread"]["owner"] == "alice"


async def test_who_came_in_with_the_handshake_may_still_say_hello(doors: OpenHouse, token: str) -> None:
    async with knocking(doors, JSON, f"livethread.token.{token}") as socket:
        await socket.send('{"type": "hello", "id": 1}')
        assert json.loads(await socket.recv())["ok"]["principal"]["id"] == "alice"


async def test_a_wrong_token_in_the_handshake_closes_with_4500(doors: OpenHouse, token: str) -> None:
    async with knocking(doors, JSON, f"livethread.token.{token}x") as socket:
        code, reason = await closed(socket)
        assert (code, token in reason) == (4500, False)


async def test_a_jwt_comes_in_at_either_door_and_ends_its_session_when_it_expires(
    vocabulary: Vocabulary, model_path: Path, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    keys = KeySet(lambda: jwks(jwk(ec_key, "ES256", kid="one")), secrets=False)
    rules = JwtRules(algorithms=("ES256",), audience="livethread", issuer=None, leeway=0.0)
    grammars = GrammarCheck(model_path)
    good = signed(ec_key, "ES256", "one")
    async for house in closing(House(MemoryStore(), vocabulary, grammars, auth=JwtAuth(keys, rules))):
        async with opened(house) as doors, connected(doors.ws_url) as client:
            for bad in (signed(ec_key, "ES256", "one", aud="other"), signed(ec_key, "ES256", "one", exp=1)):
                assert (await client.refused("hello", token=bad))["code"] == "unauthorized"
            assert (await client.ask("hello", token=good))["principal"] == {"id": "alice", "name": "Alice"}
            short = signed(ec_key, "ES256", "one", exp=time.time() + 2)
            async with knocking(doors, JSON, f"livethread.token.{short}") as socket:
                assert (await closed(socket))[0] == 4500
            await client.ask("ping")
    await grammars.stop()


async def test_a_python_client_that_loses_a_thread_is_told_so(doors: OpenHouse, token: str, tmp_path: Path) -> None:
    others = given_out(tmp_path / "tokens.json", "bob")
    async with (
        livethread.connect(doors.ws_url, token=token) as alice,
        livethread.connect(doors.ws_url, token=others) as bob,
    ):
        thread = await alice.create(thread="t")
        await alice.call(ThreadShare(id=0, thread="t", principal="bob", role="viewer"), ShareOk)
        copy = bob.thread("t")
        await copy.attach()
        reading = asyncio.ensure_future(anext(copy.subscribe()))
        await bob.ping()
        await alice.call(ThreadShare(id=0, thread="t", principal="bob", role="none"), ShareOk)
        with pytest.raises(CommandError, match="may read this thread no more"):
            await reading
        assert (copy.attached, thread.attached) == (False, False)
        with pytest.raises(CommandError, match="There is no thread 't'"):
            await copy.attach()


async def test_a_token_in_the_url_is_worth_nothing(doors: OpenHouse, token: str) -> None:
    async with websockets.connect(f"{doors.ws_url}?token={token}") as socket:
        await socket.send('{"type": "ping", "id": 1}')
        assert json.loads(await socket.recv())["error"]["code"] == "unauthorized"


async def test_without_authentication_a_token_is_not_looked_at(house: House) -> None:
    async with opened(house) as doors, knocking(doors, JSON, "livethread.token.x") as socket:
        await socket.send('{"type": "hello", "id": 1, "token": "x"}')
        assert json.loads(await socket.recv())["ok"]["principal"]["id"] == "default"


async def test_a_session_ends_with_its_token(doors: OpenHouse, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    short, gone = given_out(path, "bob", time.time() + 3600), given_out(path, "carol")
    async with connected(doors.ws_url) as expiring, connected(doors.ws_url) as revoked:
        await expiring.ask("hello", token=short)
        await revoked.ask("hello", token=gone)
        taken_back(path, "carol")
        TokenFile(path).change(lambda records: [replace(record, expires=time.time()) for record in records])
        for client in (expiring, revoked):
            code, reason = await closed(client.socket)
            assert code == 4500
            assert "expired or was revoked" in reason
    async with connected(doors.ws_url) as client:
        assert (await client.refused("hello", token=short))["code"] == "unauthorized"


async def test_nothing_of_a_token_is_logged(
    doors: OpenHouse, token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="livethread_server"):
        async with connected(doors.ws_url) as client:
            await client.refused("hello", token=token + "x")
            await client.ask("hello", token=token)
        async with knocking(doors, JSON, f"livethread.token.{token}"):
            pass
        taken_back(tmp_path / "tokens.json", "alice")
        async with knocking(doors, JSON, f"livethread.token.{token}") as socket:
            await closed(socket)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("livethread")]
    assert not [line for line in ours if token[3:] in line]
