"""Answers that take their time, on real sockets: neither cut off while they are read, nor kept for who is gone."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from livethread import messages as wire
from livethread_server.bounds import Bounds
from tests.echo import until
from tests.house import House
from tests.socketry import OpenHouse, opened
from tests.tokens import given_out, taken_back
from tests.web import asking, problem, streaming

WATCH = b"GET /v1/threads/t/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIST = b"GET /v1/threads HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def raw(doors: OpenHouse, head: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
    writer.write(head)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_a_stream_outlasts_the_deadline_of_requests_and_another_request_may_follow(house: House) -> None:
    alice = house.guest("default")
    await alice.ask(wire.ThreadCreate, thread="t")
    async with opened(house, bounds=Bounds(request_seconds=0.2)) as doors, raw(doors, WATCH + LIST) as (reader, _):
        await reader.readuntil(b"event: snapshot")
        await asyncio.sleep(0.5)
        await alice.ask(wire.ThreadDelete)
        await reader.readuntil(b"event: thread.deleted")
        await reader.readuntil(b"0\r\n\r\n")
        assert (await reader.readuntil(b'{"threads":[]')).startswith(b"HTTP/1.1 200")


async def test_a_client_that_goes_is_missed_whatever_it_asked_for_besides(house: House) -> None:
    await house.guest("default").ask(wire.ThreadCreate, thread="t")
    async with opened(house) as doors:
        async with raw(doors, WATCH + LIST) as (reader, _):
            await reader.readuntil(b"event: snapshot")
            assert house.hub.subscriptions == 1
        await doors.answered()
    assert house.hub.subscriptions == 0


async def test_who_stops_reading_a_stream_is_cut_off(house: House) -> None:
    alice = house.guest("default")
    await alice.ask(wire.ThreadCreate, thread="t")
    large = [{"op": "append", "message": {"role": "user", "content": "x" * 200_000}}]
    async with opened(house, bounds=Bounds(slow_seconds=0.2)) as doors:
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", doors.port))
            stalled.sendall(WATCH)
            stalled.setblocking(False)
            await until(lambda: house.hub.subscriptions == 1)
            while house.hub.subscriptions:
                await alice.ask(wire.Mutate, ops=large)
                await asyncio.sleep(0.02)
            await until(lambda: stalled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


async def test_who_waits_for_a_run_longer_than_a_request_may_take_gets_it(house: House) -> None:
    bounds = Bounds(request_seconds=0.2)
    async with opened(house, bounds=bounds) as doors, httpx.AsyncClient(base_url=doors.url) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        asked = asyncio.create_task(client.post("/v1/threads/t/runs", json={"run": "r"}))
        await house.engine.taken("r")
        await asyncio.sleep(0.5)
        house.engine.start("r")
        house.engine.finish("r")
        assert (await asked).json()["reason"] == "stop"


async def test_two_principals_see_what_they_may(guarded: House, tmp_path: Path) -> None:
    alice, bob = (given_out(tmp_path / "tokens.json", name) for name in ("alice", "bob"))
    async with asking(guarded, token=alice) as owner, asking(guarded, token=bob) as guest:
        await owner.post(
            "/v1/threads", json={"thread": "t", "messages": [{"role": "user", "content": "Hi.", "id": "m"}]}
        )
        for method, path in (
            ("GET", "/v1/threads/t"),
            ("GET", "/v1/threads/t/messages/m"),
            ("GET", "/v1/threads/t/events"),
            ("GET", "/v1/threads/t/runs"),
            ("POST", "/v1/threads/t/runs"),
            ("DELETE", "/v1/threads/t"),
        ):
            assert problem(await guest.request(method, path)) == (404, "not_found")
        assert (await guest.get("/v1/threads")).json()["threads"] == []
        await owner.post("/v1/threads/t/runs", json={"run": "r"}, headers={"prefer": "respond-async"})
        assert problem(await guest.get("/v1/runs/r")) == (404, "not_found")
        assert problem(await guest.delete("/v1/runs/r")) == (404, "not_found")
        invite = (await owner.post("/v1/threads/t/shares", json={"invite": True, "role": "viewer"})).json()["invite"]
        assert (await guest.post("/v1/threads/t/shares", json={"invite": invite})).json() == {}
        assert (await guest.get("/v1/threads/t")).json()["thread"]["owner"] == "alice"
        assert (await guest.get("/v1/runs/r")).json()["run"]["by"]["id"] == "alice"
        for method, path, body in (
            ("POST", "/v1/threads/t/runs", {}),
            ("POST", "/v1/threads/t/messages", {"role": "user", "content": "x"}),
            ("PATCH", "/v1/threads/t", {"title": "x"}),
            ("POST", "/v1/threads/t/warm", None),
            ("DELETE", "/v1/runs/r", None),
        ):
            assert problem(await guest.request(method, path, json=body)) == (403, "forbidden")
        assert problem(await guest.post("/v1/threads/t/shares", json={"role": "viewer"})) == (400, "bad_request")


@pytest.mark.parametrize("way", ["unshared", "revoked"])
async def test_a_stream_ends_when_its_reader_may_read_no_more(guarded: House, tmp_path: Path, way: str) -> None:
    bob = given_out(tmp_path / "tokens.json", "bob")
    alice = guarded.guest("alice")
    await alice.ask(wire.ThreadCreate, thread="t")
    await alice.ask(wire.ThreadShare, principal="bob", role="participant")
    headers = {"authorization": f"Bearer {bob}"}
    async with opened(guarded) as doors, streaming(f"{doors.url}/v1/threads/t/events", headers=headers) as stream:
        await stream.next("snapshot")
        if way == "unshared":
            await alice.ask(wire.ThreadShare, principal="bob", role="none")
        else:
            taken_back(tmp_path / "tokens.json", "bob")
        last = (await stream.rest())[-1]
    assert last.name == ("thread.deleted" if way == "unshared" else "error")
    assert way == "unshared" or (last.data["code"], last.data["status"]) == ("unauthorized", 401)


async def test_who_waits_for_a_run_that_he_may_read_no_more_is_told_so(guarded: House, tmp_path: Path) -> None:
    alice = guarded.guest("alice")
    await alice.ask(wire.ThreadCreate, thread="t")
    await alice.ask(wire.ThreadShare, principal="bob", role="participant")
    async with asking(guarded, token=given_out(tmp_path / "tokens.json", "bob")) as client:
        asked = asyncio.create_task(client.post("/v1/threads/t/runs", json={"run": "r"}))
        await guarded.engine.taken("r")
        await alice.ask(wire.ThreadShare, principal="bob", role="none")
        assert problem(await asked) == (404, "not_found")
