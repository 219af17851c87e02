from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from tests.house import House
from tests.socketry import OpenHouse, opened
from tests.web import asking, problem, streaming

HELLO = {"messages": [{"role": "user", "content": "Hello."}]}
RUNS = "/v1/threads/t/runs"


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        yield doors


async def with_thread(house: House) -> None:
    async with asking(house) as client:
        assert (await client.post("/v1/threads", json={"thread": "t"})).status_code == 201


async def speak(house: House, run: str, *texts: str) -> None:
    """Have the engine carry a run out."""
    await house.engine.taken(run)
    house.engine.start(run)
    for number, text in enumerate(texts):
        house.engine.say(run, text, (number,))
    house.engine.finish(run)


async def test_a_run_is_waited_for_and_answered_with_its_whole_message(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await speak(house, "r", "Good ", "day.")
        answer = await asked
    done = answer.json()
    assert answer.status_code == 200
    assert (done["run"], done["reason"], done["message"]["content"]) == ("r", "stop", "Good day.")
    assert done["message"]["state"] == "done"
    assert done["usage"]["completion_tokens"] == 2
    assert done["timings"]["queue_ms"] >= 0
    assert len(done["messages"]) == 1
    assert answer.headers["location"] == "/v1/runs/r"
    assert answer.headers["etag"] == f'"v{done["version"]}"'
    assert answer.headers["livethread-instance"] == "i_1"
    assert house.hub.subscriptions == 0


async def test_a_run_that_fails_says_why(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await house.engine.taken("r")
        house.engine.start("r")
        house.engine.finish("r", "error", "The engine is out of memory. Give it more.")
        done = (await asked).json()
    assert (done["reason"], done["message"]["state"]) == ("error", "failed")
    assert "out of memory" in done["error"]["message"]


async def test_the_same_key_answers_the_same_run_while_it_goes_on_and_after_it(house: House) -> None:
    await with_thread(house)
    headers = {"idempotency-key": "k"}
    async with asking(house) as client:
        first, second = (asyncio.create_task(client.post(RUNS, json=HELLO, headers=headers)) for _ in range(2))
        while not house.engine.unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await speak(house, house.engine.unfinished[0], "Once.")
        once, again = (await first).json(), (await second).json()
        later = (await client.post(RUNS, json=HELLO, headers=headers)).json()
        other = await client.post(RUNS, json={"mode": "regenerate"}, headers=headers)
    assert once == again
    assert (later["run"], later["message"], later["reason"]) == (once["run"], once["message"], "stop")
    assert len(house.engine.submitted) == 1
    assert problem(other) == (400, "bad_request")


async def test_a_run_that_is_asked_for_again_is_answered_as_before(house: House) -> None:
    await with_thread(house)
    body, key = {**HELLO, "run": "r"}, {"idempotency-key": "k"}
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json=body, headers=key))
        await house.engine.taken("r")
        house.engine.start("r")
        house.engine.finish("r", "error", "The engine is out of memory. Give it more.")
        first = await asked
        await client.delete(f"/v1/threads/t/messages/{first.json()['message']['id']}")
        again = await client.post(RUNS, json=body, headers=key)
        assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
        assert "out of memory" in again.json()["error"]["message"]
        assert (await client.get("/v1/runs/r")).json()["message"] is None


async def test_a_run_that_never_started_is_answered_as_before_too(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await house.engine.taken("r")
        await client.delete("/v1/runs/r")
        first = (await asked).json()
        assert (await client.post(RUNS, json={**HELLO, "run": "r"})).json() == first


async def test_of_a_run_whose_end_is_not_kept_as_much_is_said_as_the_thread_knows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livethread_server.store.memory.EVENTS_KEPT", 1)
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await speak(house, "r", "Gone.")
        message = (await asked).json()["message"]
        await client.post("/v1/threads/t/messages", json={"role": "user", "content": "More."})
        again = (await client.post(RUNS, json={**HELLO, "run": "r"})).json()
        assert (again["message"], again["usage"], again["reason"]) == (message, message["usage"], "stop")
        await client.delete(f"/v1/threads/t/messages/{message['id']}")
        again = (await client.post(RUNS, json={**HELLO, "run": "r"})).json()
        assert (again["message"], again["usage"], again["reason"]) == (None, None, "stop")


async def test_a_key_that_outlives_its_run_still_answers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livethread_server.store.memory.RUNS_KEPT", 1)
    await with_thread(house)
    key = {"idempotency-key": "k"}
    async with asking(house) as client:
        for headers in (key, {}):
            asked = asyncio.create_task(client.post(RUNS, json=HELLO, headers=headers))
            while not house.engine.unfinished:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await speak(house, house.engine.unfinished[0], "Once.")
            await asked
        run, other = house.engine.submitted
        assert problem(await client.get(f"/v1/runs/{run}")) == (404, "not_found")
        again = (await client.post(RUNS, json=HELLO, headers=key)).json()
        assert (again["run"], again["message"]["content"], again["reason"]) == (run, "Once.", "stop")
        await client.delete(f"/v1/threads/t/messages/{again['message']['id']}")
        for way in ({}, {"stream": True}):
            late = await client.post(RUNS, json={**HELLO, **way}, headers=key)
            assert (late.status_code, late.json()["run"]) == (202, run)
    assert list(house.engine.submitted) == [run, other]


async def test_who_prefers_not_to_wait_finds_the_run_where_he_is_told(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        answer = await client.post(RUNS, json=HELLO, headers={"prefer": "respond-async, wait=5"})
        accepted = answer.json()
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async"
        assert answer.headers["etag"] == f'"v{accepted["version"]}"'
        found = (await client.get(answer.headers["location"])).json()
        assert (found["run"]["id"], found["run"]["state"]) == (accepted["run"], "queued")
        assert found["message"]["id"] == accepted["message"]
        assert [run["id"] for run in (await client.get(RUNS)).json()["runs"]] == [accepted["run"]]
        assert [run["id"] for run in (await client.get("/v1/runs")).json()["runs"]] == [accepted["run"]]
        refused = await client.post(RUNS, json={"on_disconnect": "cancel"}, headers={"prefer": "respond-async"})
        assert problem(refused) == (400, "bad_request")


async def test_who_comes_back_for_a_run_may_wait_for_its_end(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        await client.post(RUNS, json={**HELLO, "run": "r"}, headers={"prefer": "respond-async"})
        assert (await client.get("/v1/runs/r?wait_ms=10")).json()["run"]["state"] == "queued"
        asked = asyncio.create_task(client.get("/v1/runs/r?wait_ms=60000"))
        await speak(house, "r", "Late.")
        found = (await asked).json()
        assert (found["run"]["reason"], found["message"]["content"]) == ("stop", "Late.")
        assert (await client.get("/v1/runs/r?wait_ms=60000")).json() == found
        assert problem(await client.get("/v1/runs/r?wait_ms=-1")) == (400, "bad_request")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/runs/r"), ("POST", "/v1/runs/r/cancel")])
async def test_a_run_is_cancelled_and_may_be_again(house: House, method: str, path: str) -> None:
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await house.engine.taken("r")
        assert (await client.request(method, path)).json() == {"run": "r", "state": "queued"}
        assert (await asked).json()["reason"] == "cancelled"
        assert (await client.request(method, path)).json() == {"run": "r", "state": "finished"}
        assert problem(await client.request(method, path.replace("runs/r", "runs/none"))) == (404, "not_found")


async def test_refusals_are_the_wires(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        assert problem(await client.post("/v1/threads/none/runs", json={})) == (404, "not_found")
        assert problem(await client.post(RUNS, json={}, headers={"if-match": '"v7"'})) == (412, "version_conflict")
        assert problem(await client.post(RUNS, json={"sampling": {"heat": 1}})) == (400, "bad_request")
        assert problem(await client.post(RUNS, json={"messages": [{"role": "user", "content": "x" * 300_000}]})) == (
            413,
            "too_large",
        )
        house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
        loading = await client.post(RUNS, json=HELLO)
        assert problem(loading) == (503, "model_loading")
        assert loading.headers["retry-after"] == "1"
        house.engine.trouble = None
        await client.post(RUNS, json=HELLO, headers={"prefer": "respond-async"})
        assert problem(await client.post(RUNS, json=HELLO)) == (409, "busy")


async def test_ops_and_messages_are_together_as_many_as_a_command_may_have_ops(house: House) -> None:
    await with_thread(house)
    draft = {"role": "user", "content": "x"}
    op = {"op": "truncate", "after": None}
    async with asking(house) as client:
        many = await client.post(RUNS, json={"messages": [draft] * 1025})
        both = await client.post(RUNS, json={"messages": [draft], "ops": [op] * 1024})
        most = {"messages": [draft], "ops": [op] * 1023}
        taken = await client.post(RUNS, json=most, headers={"prefer": "respond-async"})
    assert problem(many) == problem(both) == (400, "bad_request")
    assert both.json()["details"] == {"field": "messages"}
    assert "1025 ops and messages" in both.json()["detail"]
    assert (taken.status_code, len(taken.json()["messages"])) == (202, 1)


@pytest.mark.parametrize(
    "way", [{"json": {**HELLO, "run": "r", "stream": True}}, {"headers": {"accept": "text/event-stream"}}]
)
async def test_a_run_streams_its_own_events_up_to_its_end(doors: OpenHouse, way: dict[str, Any]) -> None:
    await with_thread(doors.house)
    way = {"json": {**HELLO, "run": "r"}} | way
    async with streaming(f"{doors.url}{RUNS}", "POST", **way) as stream:
        accepted = await stream.next("accepted")
        assert accepted.data["run"] == "r"
        assert stream.answer.headers["location"] == "/v1/runs/r"
        await speak(doors.house, "r", "Good ", "day.")
        told = await stream.rest()
    assert [one.name for one in told] == ["run.started", "run.delta", "run.finished"]
    assert told[1].data["text"] == "Good day."
    assert told[-1].data["message"]["content"] == "Good day."
    assert [one.position for one in told] == ["", "", ""]


async def test_who_goes_on_from_a_runs_stream_at_the_threads_events_is_told_all_that_it_left_out(
    doors: OpenHouse,
) -> None:
    house = doors.house
    await with_thread(house)
    alice = house.guest("default")
    await alice.ask(wire.Generate, run="other", ops=[{"op": "append", "message": HELLO["messages"][0]}])
    house.engine.start("other")
    house.engine.say("other", "Before ", (1,))
    await alice.ask(wire.Subscribe)
    body = {**HELLO, "run": "r", "if_busy": "enqueue", "stream": True}
    async with streaming(f"{doors.url}{RUNS}", "POST", json=body) as stream:
        accepted = await stream.next("accepted")
        assert accepted.position.count(":") == 1, "no text of the other run is claimed"
        house.engine.say("other", "it.", (2,))
        house.engine.finish("other")
        await speak(house, "r", "Good day.")
        last = (await stream.rest())[-1]
    headers = {"last-event-id": accepted.position}
    async with streaming(f"{doors.url}/v1/threads/t/events", headers=headers) as stream:
        events = (await stream.next("resumed")).data["events"]
    seqs = [event["seq"] for event in events]
    assert seqs == list(range(int(accepted.position.partition(":")[2]) + 1, last.data["seq"] + 1))
    assert {"thread.mutated", "run.started", "run.finished"} <= {event["type"] for event in events}
    assert {"other", "r"} <= {event.get("run") for event in events}


async def test_a_stream_that_begins_late_begins_with_the_text_so_far(doors: OpenHouse) -> None:
    house = doors.house
    await with_thread(house)
    async with streaming(f"{doors.url}{RUNS}", "POST", json={**HELLO, "run": "r", "stream": True}) as first:
        await house.engine.taken("r")
        house.engine.start("r")
        house.engine.say("r", "Good ", (1,))
        await first.next("run.delta")
    async with streaming(f"{doors.url}{RUNS}", "POST", json={**HELLO, "run": "r", "stream": True}) as second:
        await second.next("accepted")
        assert (await second.next()).data == {
            "run": "r",
            "from": 0,
            "to": 1,
            "text": "Good ",
            "message": house.lanes._lanes["t"].runs[0].message,
        }
        house.engine.say("r", "day.", (2,))
        house.engine.finish("r")
        assert [one.name for one in await second.rest()] == ["run.delta", "run.finished"]
    async with streaming(f"{doors.url}{RUNS}", "POST", json={**HELLO, "run": "r", "stream": True}) as third:
        assert [one.name for one in await third.rest()] == ["accepted", "run.finished"]


async def test_a_run_goes_on_when_its_client_goes_unless_it_should_not(
    doors: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = doors.house
    monkeypatch.setattr("livethread_server.runs.DISCONNECT_SECONDS", 0.0)
    await with_thread(house)
    for run, way in (("a", "continue"), ("b", "cancel")):
        async with httpx.AsyncClient() as client:
            body = {**HELLO, "run": run, "on_disconnect": way, "if_busy": "interrupt"}
            asked = asyncio.create_task(client.post(f"{doors.url}{RUNS}", json=body))
            await house.engine.taken(run)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
    while "b" in house.engine.unfinished:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert house.engine.cancelled == ["a", "b"]  # the first was interrupted by the second


async def test_a_thread_that_is_deleted_ends_its_runs_and_who_waits_hears_it(house: House) -> None:
    await with_thread(house)
    async with asking(house) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await house.engine.taken("r")
        assert (await client.delete("/v1/threads/t")).status_code == 204
        assert (await asked).json()["reason"] == "interrupted"
        assert problem(await client.get("/v1/runs/r")) == (404, "not_found")


async def test_a_run_of_one_door_streams_at_the_other(doors: OpenHouse) -> None:
    house = doors.house
    alice = house.guest("default")
    await alice.ask(wire.ThreadCreate, thread="t")
    await alice.ask(wire.Subscribe)
    async with httpx.AsyncClient(base_url=doors.url) as client:
        asked = asyncio.create_task(client.post(RUNS, json={**HELLO, "run": "r"}))
        await speak(house, "r", "By HTTP.")
        assert (await asked).json()["message"]["content"] == "By HTTP."
    assert (await alice.next(wire.RunDelta)).text == "By HTTP."
    async with streaming(f"{doors.url}/v1/threads/t/events") as stream:
        await stream.next("snapshot")
        await alice.ask(wire.Generate, run="s", mode="regenerate")
        await speak(house, "s", "By socket.")
        assert (await stream.next("run.delta")).data["text"] == "By socket."
        assert (await stream.next("run.finished")).data["run"] == "s"
