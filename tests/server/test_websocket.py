from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread.messages import Hello, RunDelta, ThreadMutated, Unsubscribe
from livethread.model import MESSAGE_BYTES
from livethread_server import websocket
from livethread_server.bounds import Bounds
from livethread_server.engine.wire import Submit
from livethread_server.session import Session
from livethread_server.stamps import new_id
from tests.house import House
from tests.socketry import OpenHouse, opened
from tests.wireclient import check_run, check_seqs, connected

USER = {"op": "append", "message": {"role": "user", "content": "Hello"}}


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        yield doors


@pytest.fixture
async def impatient(house: House) -> AsyncIterator[OpenHouse]:
    """Doors that give nobody much time to close."""
    async with opened(house, bounds=Bounds(close_seconds=0.05)) as doors:
        yield doors


async def closed(socket: Any) -> tuple[int, str]:
    with pytest.raises(websockets.ConnectionClosed) as caught:
        await asyncio.wait_for(socket.recv(), 10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_run_comes_over_the_socket_in_either_encoding(doors: OpenHouse, encoding: str) -> None:
    async with connected(doors.ws_url, encoding) as client:
        thread = await client.thread()
        run = (await client.ask("generate", thread=thread, ops=[USER]))["run"]
        doors.house.engine.start(run)
        doors.house.engine.say(run, "Grüße", (1, 2))
        doors.house.engine.finish(run)
        check_run(client, await client.event("run.finished", run=run))
        check_seqs(client, thread)


async def test_commands_on_one_thread_keep_their_order_and_replies_come_before_events(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        kinds: list[tuple[str, int]] = []
        await client.send("thread.create", thread="t")
        await client.send("subscribe", thread="t")
        for _ in range(20):
            await client.send("mutate", thread="t", ops=[USER])
        while len(kinds) < 42:
            message = json.loads(await client.socket.recv())
            kinds.append((message["type"], message.get("id") or message["version"]))
        assert kinds[:2] == [("reply", 1), ("reply", 2)]
        assert kinds[2:] == [one for n in range(20) for one in (("reply", n + 3), ("thread.mutated", n + 1))]


async def test_ping_and_cancel_overtake_what_is_slow(doors: OpenHouse) -> None:
    engine, lanes = doors.house.engine, doors.house.lanes
    async with connected(doors.ws_url) as client:
        thread = await client.thread()
        async with lanes.hold(thread, None):
            generate = await client.send("generate", thread=thread, run="r", ops=[USER])
            cancel = await client.send("cancel", run="r")
            ping = await client.send("ping")
            assert (await client.reply(ping))["ok"] == {}
            assert (await client.reply(cancel))["ok"] == {"run": "r", "state": "queued"}
        assert "ok" in await client.reply(generate)
        assert (await client.event("run.finished", run="r"))["reason"] == "cancelled"
        assert "r" in engine.cancelled


async def test_a_slow_thread_holds_up_no_other(doors: OpenHouse) -> None:
    lanes = doors.house.lanes
    async with connected(doors.ws_url) as client:
        for thread in ("slow", "quick"):
            await client.ask("thread.create", thread=thread)
        async with lanes.hold("slow", None):
            slow = await client.send("thread.get", thread="slow")
            await client.ask("thread.get", thread="quick")
        await client.reply(slow)


async def test_a_list_sees_what_was_asked_for_before_it(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        for number in range(3):
            await client.send("thread.create", thread=f"t{number}")
        await client.send("thread.create")
        assert len((await client.ask("thread.list"))["threads"]) == 4


async def test_the_largest_message_is_heard_whatever_its_characters_cost_in_json(doors: OpenHouse) -> None:
    async with connected(doors.ws_url, "msgpack") as writer, connected(doors.ws_url) as reader:
        thread = await reader.thread()
        content = "\x01" * MESSAGE_BYTES
        op = {"op": "append", "message": {"role": "user", "content": content}}
        await writer.ask("mutate", thread=thread, ops=[op])
        assert (await reader.event("thread.mutated"))["ops"][0]["message"]["content"] == content
        again = await reader.ask("subscribe", thread=thread)
        assert again["thread"]["messages"][0]["content"] == content


async def test_a_second_hello_is_refused_and_the_session_goes_on(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        ok = await client.ask("hello", client="test", protocol=1)
        assert (ok["models"], ok["limits"]["queued_runs"]) == (["smol"], 8)
        assert (await client.refused("hello"))["code"] == "bad_request"
        await client.ask("ping")


@pytest.mark.parametrize("frame", ["not json", "[]", '{"type": "ping"}', b"\xc1"])
async def test_an_undecodable_frame_ends_the_session_behind_what_waits(doors: OpenHouse, frame: str | bytes) -> None:
    async with connected(doors.ws_url) as client:
        await client.send("ping")
        await client.socket.send(frame)
        assert "ok" in json.loads(await client.socket.recv())
        code, reason = await closed(client.socket)
        assert code == CloseCode.UNDECODABLE
        assert reason


@pytest.mark.parametrize("bounds", [Bounds(commands_in_flight=3), Bounds(bytes_in_flight=150)])
async def test_too_many_commands_in_flight_are_refused_but_never_a_ping(house: House, bounds: Bounds) -> None:
    async with opened(house, bounds=bounds) as doors, connected(doors.ws_url) as client:
        await client.ask("thread.create", thread="t")
        async with house.lanes.hold("t", None):
            waiting = [await client.send("thread.get", thread="t") for _ in range(3)]
            assert (await client.refused("thread.get", thread="t"))["code"] == "rate_limited"
            await client.ask("ping")
        for number in waiting:
            assert "ok" in await client.reply(number)
        await client.ask("thread.get", thread="t")


async def test_what_is_in_flight_is_counted_in_bytes_and_not_in_characters(house: House) -> None:
    async with opened(house, bounds=Bounds(bytes_in_flight=1000)) as doors, connected(doors.ws_url) as client:
        await client.ask("thread.create", thread="t")
        for content, fits in (("u" * 600, True), ("ü" * 600, False)):
            op = {"op": "append", "message": {"role": "user", "content": content}}
            frame = json.dumps({"type": "mutate", "id": 77, "thread": "t", "ops": [op]}, ensure_ascii=False)
            await client.socket.send(frame)
            assert ("ok" in await client.reply(77)) == fits


async def test_commands_that_come_too_fast_are_refused_and_then_closed(house: House) -> None:
    bounds = Bounds(message_rate=0.001, message_burst=5)
    async with opened(house, bounds=bounds) as doors, connected(doors.ws_url) as client:
        for _ in range(5):
            await client.ask("ping")
        for _ in range(5):
            refusal = await client.refused("thread.list")
            assert (refusal["code"], refusal["retryable"]) == ("rate_limited", True)
            assert refusal["details"] == {"per_second": 0.001}
        await client.send("ping")
        assert (await closed(client.socket))[0] == CloseCode.RATE


async def test_sessions_above_a_principals_share_are_closed_and_make_room_again(house: House) -> None:
    async with opened(house, bounds=Bounds(sessions_per_principal=1)) as doors:
        async with connected(doors.ws_url) as first:
            await first.ask("ping")
            async with connected(doors.ws_url) as second:
                assert (await closed(second.socket))[0] == CloseCode.TOO_MANY_SESSIONS
            await first.ask("ping")
        await doors.emptied()
        async with connected(doors.ws_url) as third:
            await third.ask("ping")
    assert not doors.door._sessions


async def test_where_a_hello_is_needed_it_must_come_in_time(house: House) -> None:
    hasty = Bounds(hello_seconds=0.2)
    async with opened(house, bounds=hasty, hello_required=True) as doors, connected(doors.ws_url) as greeting:
        await greeting.ask("hello")
        async with connected(doors.ws_url) as silent:
            assert (await silent.refused("thread.list"))["code"] == "unauthorized"
            assert (await closed(silent.socket))[0] == CloseCode.NO_HELLO
        await greeting.ask("thread.list")


async def test_a_refused_hello_leaves_the_door_shut(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(session: Session, command: Hello) -> Any:
        raise CommandError(ErrorCode.UNAUTHORIZED, "The token is not known. Get another.")

    monkeypatch.setattr(house.service, "hello", refusing)
    async with opened(house, hello_required=True) as doors, connected(doors.ws_url) as client:
        for _ in range(2):
            assert (await client.refused("hello"))["code"] == "unauthorized"
        assert not doors.door._sessions


async def test_a_hello_that_fails_here_is_internal_and_may_be_said_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(session: Session, command: Hello) -> Any:
        raise ValueError("broken")

    async with opened(house, hello_required=True) as doors, connected(doors.ws_url) as client:
        with monkeypatch.context() as breaking:
            breaking.setattr(house.service, "hello", broken)
            assert (await client.refused("hello"))["code"] == "internal"
        assert "a hello failed" in caplog.text
        await client.ask("hello")
        await client.ask("thread.list")


async def test_a_failure_of_ours_is_internal_and_the_session_goes_on(
    doors: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(submit: Submit) -> Any:
        raise ValueError("broken")

    doors.house.engine.submit = broken  # type: ignore[method-assign]
    async with connected(doors.ws_url) as client:
        thread = await client.thread()
        assert (await client.refused("generate", thread=thread, ops=[USER]))["code"] == "internal"
        assert (await client.ask("thread.get", thread=thread))["thread"]["messages"] == []
    assert "Generate failed" in caplog.text


async def test_shutting_down_sends_what_waits_and_closes_with_4001(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        await client.thread(thread="t")
        doors.house.live("t", 1)
        await doors.door.close_all(CloseCode.SHUTDOWN, "The server shuts down. Connect again in a moment.")
        assert json.loads(await client.socket.recv())["type"] == "thread.residency"
        assert await closed(client.socket) == (4001, "The server shuts down. Connect again in a moment.")


async def test_sockets_are_closed_in_batches_and_a_batch_waits_for_no_reader(
    doors: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSED_AT_ONCE", 1)
    async with connected(doors.ws_url) as first, connected(doors.ws_url) as second, connected(doors.ws_url) as third:
        clients = [first, second, third]
        for client in clients:
            await client.ask("ping")
        closing = asyncio.create_task(doors.door.close_all(CloseCode.SHUTDOWN, "Bye.", pause=0.001))
        assert [await closed(client.socket) for client in clients] == [(4001, "Bye.")] * 3
        await closing


async def test_a_command_under_way_is_carried_out_though_its_socket_closes(doors: OpenHouse) -> None:
    watcher = await doors.house.listener("default")
    async with doors.house.lanes.hold("t", None):
        async with connected(doors.ws_url) as client:
            await client.send("subscribe", thread="t")
            await client.send("mutate", thread="t", ops=[USER])
            await client.ask("ping")
        await doors.emptied()
    assert (await watcher.next(ThreadMutated)).version == 1
    # Nothing is left of the subscription of a session that has ended.
    await watcher.ask(Unsubscribe)
    assert doors.house.hub._outboxes == {}


async def test_a_reader_too_far_behind_is_let_go(impatient: OpenHouse) -> None:
    doors = impatient
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await connect(stalled, doors.port)
        outbox = await doors.outbox()
        doors.house.hub.add("t", outbox)
        while outbox.closed is None:
            doors.house.hub.publish(RunDelta(thread="t", run=new_id("r"), start=0, to=1, text="x" * 100_000))
            await asyncio.sleep(0)
        assert outbox.closed[0] is CloseCode.SLOW
        await doors.emptied()
        assert doors.house.hub.threads(outbox) == frozenset()


async def test_a_reader_that_has_stopped_is_let_go_however_little_it_was_sent(house: House) -> None:
    bounds = Bounds(slow_seconds=0.05)
    async with opened(house, bounds=bounds) as doors, connected(doors.ws_url) as reading:
        await reading.thread(thread="t")
        with socket.socket() as stalled:
            await connect(stalled, doors.port)
            await doors.opened(2)
            house.hub.add("t", list(doors.door._open)[-1])
            house.live("t", 1)
            await reading.event("thread.residency")
            await doors.opened(1)
        await reading.ask("ping")


async def test_a_reader_that_has_stopped_does_not_hold_up_a_shutdown(impatient: OpenHouse) -> None:
    doors = impatient
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await connect(stalled, doors.port)
        outbox = await doors.outbox()
        for _ in range(40):
            outbox.offer("x" * 100_000)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await doors.door.close_all(CloseCode.SHUTDOWN, "bye")


async def connect(raw: socket.socket, port: int) -> None:
    """A handshake by hand, and nothing read after it."""
    loop = asyncio.get_running_loop()
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", port))
    lines = ("GET /v1/ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade")
    key = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "")
    await loop.sock_sendall(raw, "\r\n".join((*lines, *key)).encode())
    assert b" 101 " in await loop.sock_recv(raw, 64)
