from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from livethread import messages as wire
from livethread.errors import CloseCode
from livethread_server.bounds import Bounds
from tests.house import House
from tests.socketry import OpenHouse, opened
from tests.web import asking, problem, streaming

HI = [{"op": "append", "message": {"role": "user", "content": "Hi."}}]


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        await house.guest("default").ask(wire.ThreadCreate, thread="t")
        yield doors


async def test_a_thread_is_told_as_it_is_and_then_as_it_changes(doors: OpenHouse) -> None:
    alice = doors.house.guest("default")
    async with streaming(f"{doors.url}/v1/threads/t/events") as stream:
        snapshot = await stream.next("snapshot")
        assert (snapshot.data["thread"]["id"], snapshot.data["recovered"]) == ("t", False)
        epoch = snapshot.data["epoch"]
        assert snapshot.position == f"{epoch}:0"
        await alice.ask(wire.Mutate, ops=HI)
        mutated = await stream.next("thread.mutated")
        assert (mutated.data["seq"], mutated.position) == (1, f"{epoch}:1")
        await alice.ask(wire.ThreadDelete)
        assert [one.name for one in await stream.rest()] == ["thread.deleted"]


@pytest.mark.parametrize("way", ["header", "query"])
async def test_who_comes_back_is_told_exactly_what_he_missed(doors: OpenHouse, way: str) -> None:
    house, url = doors.house, f"{doors.url}/v1/threads/t/events"
    alice = house.guest("default")
    async with streaming(url) as stream:
        await stream.next("snapshot")
        await alice.ask(wire.Generate, run="r", ops=HI)
        house.engine.start("r")
        house.engine.say("r", "Good ", (1,))
        last = await stream.next("run.delta")
    assert last.position.endswith(":r:1")
    house.engine.say("r", "day", (2,))
    await alice.ask(wire.Mutate, ops=HI)
    headers = {"last-event-id": last.position} if way == "header" else {}
    params = {} if way == "header" else {"since": last.position}
    async with streaming(url, headers=headers, params=params) as stream:
        resumed = await stream.next("resumed")
        assert [event["type"] for event in resumed.data["events"]] == ["thread.mutated"]
        assert (resumed.data["run"]["from"], resumed.data["run"]["text"]) == (1, "day")
        assert resumed.position.endswith(":r:2")
        house.engine.finish("r")
        assert (await stream.next("run.finished")).data["message"]["content"] == "Good day"


async def test_who_was_away_in_another_epoch_is_told_all(doors: OpenHouse) -> None:
    async with streaming(f"{doors.url}/v1/threads/t/events", headers={"last-event-id": "e_other:7"}) as stream:
        assert (await stream.next()).name == "snapshot"


async def test_a_position_that_is_none_is_refused(house: House) -> None:
    async with asking(house) as client:
        await client.post("/v1/threads", json={"thread": "t"})
        for position in ("x", "e:1:r", "e:-1", "e:1:r:x", "e:" + "1" * 30):
            answer = await client.get("/v1/threads/t/events", headers={"last-event-id": position})
            assert problem(answer) == (400, "bad_request")
        answer = await client.get("/v1/threads/t/events?since=x")
        assert problem(answer) == (400, "bad_request")
        assert answer.json()["detail"].startswith("Field 'since' of the query must match")
        assert problem(await client.get("/v1/threads/none/events")) == (404, "not_found")


async def test_all_threads_are_watched(doors: OpenHouse) -> None:
    alice = doors.house.guest("default")
    async with streaming(f"{doors.url}/v1/watch") as stream:
        await stream.next("watching")
        await alice.ask(wire.ThreadCreate, thread="u")
        created = await stream.next("thread.created")
        assert (created.data["thread"], created.data["summary"]["messages"], created.position) == ("u", [], "")
        await alice.ask(wire.ThreadDelete, thread="u")
        assert (await stream.next("thread.deleted")).data["thread"] == "u"


async def test_a_server_that_goes_away_ends_its_streams(doors: OpenHouse) -> None:
    async with streaming(f"{doors.url}/v1/threads/t/events") as stream, streaming(f"{doors.url}/v1/watch") as other:
        await stream.next("snapshot")
        await other.next("watching")
        doors.web.close_all(CloseCode.SHUTDOWN, "The server shuts down.")
        assert (await stream.rest(), await other.rest()) == ([], [])
        async with streaming(f"{doors.url}/v1/watch") as late:
            assert [told.name for told in await late.rest()] == ["watching"]


async def test_streams_above_a_principals_share_are_refused_before_anything_begins(house: House) -> None:
    async with (
        opened(house, bounds=Bounds(sessions_per_principal=1)) as doors,
        httpx.AsyncClient(base_url=doors.url) as client,
    ):
        await client.post("/v1/threads", json={"thread": "t"})
        async with streaming(f"{doors.url}/v1/watch") as stream:
            await stream.next("watching")
            assert problem(await client.get("/v1/watch")) == (429, "rate_limited")
            assert problem(await client.post("/v1/threads/t/runs", json={"run": "r"})) == (429, "rate_limited")
            assert not house.engine.submitted
            assert (await client.get("/v1/threads")).status_code == 200


async def test_a_quiet_stream_shows_that_it_is_there(house: House) -> None:
    async with opened(house, bounds=Bounds(ping_seconds=0.05)) as doors:
        alice = house.guest("default")
        await alice.ask(wire.ThreadCreate, thread="t")
        async with streaming(f"{doors.url}/v1/threads/t/events") as stream:
            await stream.next("snapshot")
            assert await stream.comment() == ":"


async def test_who_reads_no_more_is_told_no_more(doors: OpenHouse) -> None:
    async with streaming(f"{doors.url}/v1/threads/t/events") as stream:
        await stream.next("snapshot")
        assert doors.house.hub.subscriptions == 1
    await doors.answered()
    assert doors.house.hub.subscriptions == 0
