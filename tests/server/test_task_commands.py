"""Tasks over the wire, with real sockets and an engine whose words the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from livethread import messages as wire
from livethread.codec import bytes_of
from livethread.errors import CommandError, ErrorCode
from livethread.model import FRAME_BYTES
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.vocabulary import Vocabulary
from tests.answering import answering
from tests.house import House, closing
from tests.socketry import OpenHouse, opened
from tests.wireclient import connected

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}


class Size(Struct, frozen=True, forbid_unknown_fields=True):
    """How large a result is wanted."""

    bytes: int


class Filled(Struct, frozen=True):
    """A result of that size."""

    filled: str


class Filling:
    """A kind whose results have as many bytes of JSON as were asked for."""

    name = "filling"
    summary = "Fill a result."
    Input = Size
    Result = Filled

    def refusal(self, abilities: Abilities) -> str | None:
        return None

    async def run(self, asked: Size, bench: Bench) -> Filled:
        return Filled("x" * (asked.bytes - len('{"filled":""}')))


@pytest.fixture
async def house(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house that fills results."""
    async for one in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), kinds=(Filling(),))):
        yield one


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        yield doors


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_its_maker_is_told_of_its_text_and_its_end(doors: OpenHouse, encoding: str) -> None:
    async with connected(doors.ws_url, encoding) as client, connected(doors.ws_url) as other:
        asked = CHAT | {"n": 2}
        made = (await client.ask("task.create", kind="chat-completion", input=asked, stream=True))["task"]
        assert (made["state"], made["kind"]) == ("queued", "chat-completion")
        async with answering(doors.house.engine):
            got = await other.ask("task.get", task=made["id"], wait_ms=10_000)
            while (last := client.events[-1] if client.events else made).get("task") != got["task"]:
                await client.more()
        texts, ends = ["", ""], [0, 0]
        for event in client.events:
            if event["type"] == "task.delta":
                assert event["from"] == ends[event["choice"]]
                texts[event["choice"]] += event["text"]
                ends[event["choice"]] = event["to"]
        assert texts == [choice["content"] for choice in last["task"]["result"]["choices"]] == ["Good day."] * 2
        assert other.events == []


async def test_one_that_does_not_stream_is_told_of_nothing(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        made = await client.ask("task.create", kind="chat-completion", input=CHAT)
        async with answering(doors.house.engine):
            done = await client.ask("task.get", task=made["task"]["id"], wait_ms=10_000)
        assert done["task"]["result"]["choices"][0]["content"] == "Good day."
        assert client.events == []


async def test_waiting_for_a_task_holds_nothing_else_up(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        create = await client.send("task.create", kind="chat-completion", input=CHAT, task="t")
        waiting = await client.send("task.get", task="t", wait_ms=60_000)
        assert (await client.ask("thread.list"))["threads"] == []
        assert (await client.reply(create))["ok"]["task"]["id"] == "t"
        assert (await client.ask("task.list"))["tasks"][0]["id"] == "t"
        assert await client.ask("task.cancel", task="t") == {"task": "t", "state": "cancelled"}
        assert (await client.reply(waiting))["ok"]["task"]["state"] == "cancelled"


async def test_a_cancel_sent_with_its_creation_is_heeded(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        create = await client.send("task.create", kind="chat-completion", input=CHAT, task="t")
        cancel = await client.send("task.cancel", task="t")
        assert (await client.reply(cancel))["ok"]["state"] == "cancelled"
        assert (await client.reply(create))["ok"]["task"]["state"] == "cancelled"
        assert doors.house.engine.unfinished == []
        assert (await client.refused("task.cancel", task="nothing"))["code"] == "not_found"


async def test_a_task_outlives_the_session_that_made_it(doors: OpenHouse) -> None:
    async with connected(doors.ws_url) as client:
        await client.ask("task.create", kind="chat-completion", input=CHAT, task="t", stream=True)
    await doors.emptied()
    async with connected(doors.ws_url) as client, answering(doors.house.engine):
        assert (await client.ask("task.get", task="t", wait_ms=10_000))["task"]["state"] == "done"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"kind": "nothing", "input": {}}, "bad_request", "kind"),
        ({"kind": "Not A Kind", "input": {}}, "bad_request", "kind"),
        ({"kind": "tokenize", "input": {"content": 1}}, "bad_request", "content"),
        ({"kind": "tokenize", "input": {"content": "a"}, "timeout_ms": 0}, "bad_request", "timeout_ms"),
        ({"kind": "rerank", "input": {"query": "a", "documents": ["b"]}}, "unsupported", None),
    ],
)
async def test_what_is_asked_wrongly_is_refused(
    doors: OpenHouse, fields: dict[str, Any], code: str, field: str | None
) -> None:
    async with connected(doors.ws_url) as client:
        error = await client.refused("task.create", **fields)
        assert (error["code"], error["details"].get("field")) == (code, field)


async def test_a_result_larger_than_a_frame_is_for_http(house: House) -> None:
    guest = house.guest()
    asked = {"content": "a b c d e f g h " * 20_000, "with_pieces": True}
    made = (await guest.ask(wire.TaskCreate, kind="tokenize", input=asked)).task
    assert (made.state, made.result) == ("done", None)
    with pytest.raises(CommandError) as caught:
        await guest.ask(wire.TaskGet, task=made.id)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert caught.value.details["bytes"] > FRAME_BYTES
    assert f"/v1/tasks/{made.id}" in caught.value.message


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_reader_is_not_given_up_for_large_results_that_it_asked_for_at_once(
    doors: OpenHouse, encoding: str
) -> None:
    size = 600_000
    async with connected(doors.ws_url, encoding) as client:
        made = [await client.send("task.create", kind="filling", input={"bytes": size}, task=f"t{n}") for n in range(3)]
        gets = [await client.send("task.get", task=f"t{n}") for n in range(3)]
        for number in (*made, *gets):
            task = (await client.reply(number))["ok"]["task"]
            assert len(task["result"]["filled"]) == size - len('{"filled":""}')


@pytest.mark.parametrize(("left", "fits"), [(2048, True), (6, False)])
async def test_what_is_around_a_result_counts_too(house: House, left: int, fits: bool) -> None:
    guest = house.guest()
    asked = {"kind": "filling", "input": {"bytes": FRAME_BYTES - left}, "task": "t", "stream": True}
    made = (await guest.ask(wire.TaskCreate, **asked)).task
    last = (await guest.session.outbox.take())[-1]
    assert bytes_of(last) <= FRAME_BYTES
    told = msgspec.json.decode(last, type=wire.TaskUpdated).task
    assert [made.result is not None, told.result is not None] == [fits, fits]
    if fits:
        assert (await guest.ask(wire.TaskGet, task="t")).task.result is not None
        return
    with pytest.raises(CommandError) as caught:
        await guest.ask(wire.TaskGet, task="t")
    assert (caught.value.code, caught.value.details["bytes"]) == (ErrorCode.TOO_LARGE, FRAME_BYTES - left)


async def test_a_slow_reader_gets_the_text_in_larger_pieces_and_loses_none(house: House) -> None:
    guest = house.guest()
    await guest.ask(wire.TaskCreate, kind="chat-completion", input=CHAT, task="t", stream=True)
    (run,) = house.engine.unfinished
    said = 300
    for index in range(said):
        house.engine.say(run, "word " * 500, (index,))
        await asyncio.sleep(0)
    house.engine.finish(run)
    told: list[wire.TaskEvent] = []
    while not (told and isinstance(told[-1], wire.TaskUpdated) and told[-1].task.state == "done"):
        frames = await guest.session.outbox.take()
        told += [msgspec.json.decode(frame, type=wire.TaskUpdated | wire.TaskDelta) for frame in frames]
    deltas = [event for event in told if isinstance(event, wire.TaskDelta)]
    assert len("".join(delta.text for delta in deltas)) == said * 2500
    assert len(deltas) < said / 2
