"""Tasks as the Python client has them, with real sockets and an engine whose words the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import livethread
from livethread import CommandError, TaskStopped, TaskStream, TextReplaced
from livethread.backoff import Backoff
from livethread.tasks import ChatCompletionInput, ChatTurn, GenerationResult, TokenizeInput, TokenizeResult
from tests.answering import answering
from tests.house import House
from tests.socketry import OpenHouse, opened

CHAT = ChatCompletionInput(messages=(ChatTurn("user", "Hi."),), n=2)
SOON = Backoff(base=0.01, longest=0.05)


@pytest.fixture
async def doors(house: House) -> AsyncIterator[OpenHouse]:
    async with opened(house) as doors:
        yield doors


@pytest.fixture
async def client(doors: OpenHouse) -> AsyncIterator[livethread.Client]:
    async with livethread.connect(doors.ws_url, reconnect=SOON) as client:
        yield client


async def running(house: House, count: int = 1) -> list[str]:
    while len(house.engine.unfinished) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return house.engine.unfinished


def cut(client: livethread.Client) -> None:
    """Let the connection break off without a word."""
    session = client._lifeline._session
    assert session is not None
    session._socket.transport.abort()


async def test_its_text_comes_in_pieces_and_its_result_behind(house: House, client: livethread.Client) -> None:
    stream = client.task("chat-completion", CHAT)
    async with answering(house.engine):
        text = "".join([piece async for piece in stream])
    result = await stream.result()
    assert isinstance(result, GenerationResult)
    assert text == result.choices[0].content == result.choices[1].content == "Good day."
    assert stream.task is not None
    assert (stream.task.id, stream.task.state) == (stream.id, "done")
    with pytest.raises(RuntimeError):
        await anext(stream.deltas())


async def test_a_result_can_be_all_that_is_wanted(client: livethread.Client) -> None:
    assert await client.task("tokenize", TokenizeInput(content="")).result() == TokenizeResult(())
    found = await client.task("count-tokens", {"content": "Hello there."}).result()
    assert found.tokens > 1


async def test_the_pieces_of_all_choices_can_be_had(house: House, client: livethread.Client) -> None:
    texts = ["", ""]
    async with answering(house.engine):
        async for delta in client.task("chat-completion", CHAT).deltas():
            texts[delta.choice] += delta.text
    assert texts == ["Good day."] * 2


async def test_a_refusal_and_a_failure_are_raised(house: House, client: livethread.Client) -> None:
    with pytest.raises(CommandError) as caught:
        await client.task("nothing", {}).result()
    assert caught.value.details["field"] == "kind"
    asking = asyncio.create_task(client.task("chat-completion", CHAT).result())
    house.engine.finish((await running(house))[0], "error", "The engine died. Ask again.")
    with pytest.raises(CommandError, match="The engine died"):
        await asking


async def test_one_that_is_cancelled_says_so(house: House, client: livethread.Client) -> None:
    stream = client.task("chat-completion", CHAT)
    asking = asyncio.create_task(stream.result())
    await running(house)
    assert (await stream.cancel()).state == "cancelled"
    with pytest.raises(TaskStopped) as caught:
        await asking
    assert (caught.value.task, caught.value.reason) == (stream.id, "cancelled")
    with pytest.raises(TaskStopped):
        await client.task("chat-completion", CHAT, timeout_ms=1).result()


async def test_one_that_nobody_reads_to_its_end_is_cancelled(house: House, client: livethread.Client) -> None:
    stream = client.task("chat-completion", CHAT)
    reading = asyncio.create_task(_first(stream))
    run = (await running(house))[0]
    house.engine.say(run, "Good", (1,))
    assert await reading == "Good"
    while house.engine.unfinished:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def test_it_goes_on_over_a_cut(house: House, client: livethread.Client) -> None:
    stream = client.task("chat-completion", {"messages": [{"role": "user", "content": "Hi."}]})
    pieces = stream.deltas()
    first = asyncio.create_task(anext(pieces))
    (run,) = await running(house)
    house.engine.say(run, "Good ", (1,))
    assert (await first).text == "Good "
    cut(client)
    house.engine.say(run, "day", (2,))
    assert (await anext(pieces)).text == "day"
    house.engine.say(run, ".", (3,))
    house.engine.finish(run)
    assert [delta.text async for delta in pieces] == ["."]
    assert (await stream.result()).choices[0].content == "Good day."
    assert len(house.engine.submitted) == 1


async def test_a_server_that_has_forgotten_it_does_it_again(house: House, client: livethread.Client) -> None:
    stream = client.task("chat-completion", {"messages": [{"role": "user", "content": "Hi."}]})
    pieces = stream.deltas()
    first = asyncio.create_task(anext(pieces))
    (run,) = await running(house)
    house.engine.say(run, "Good ", (1,))
    await first
    _forget(house)
    cut(client)
    (again,) = await running(house)
    assert again != run
    house.engine.say(again, "Goo", (1,))
    await asyncio.sleep(0.01)
    house.engine.say(again, "d day", (2,))
    assert (await anext(pieces)).text == "day"
    _forget(house)
    cut(client)
    (third,) = await running(house)
    house.engine.say(third, "Bad", (1,))
    with pytest.raises(TextReplaced):
        await anext(pieces)


async def test_it_fails_where_the_client_is_lost(house: House, doors: OpenHouse) -> None:
    async with livethread.connect(doors.ws_url, reconnect=False) as client:
        asking = asyncio.create_task(client.task("chat-completion", CHAT).result())
        await running(house)
        cut(client)
        with pytest.raises(livethread.errors.ConnectionClosed):
            await asking


def _forget(house: House) -> None:
    """Be a server that was started again."""
    for live in house.tasks._book:
        house.tasks.end(live, "cancelled")
        house.tasks._book.forget(live)
    house.engine._outputs.clear()


async def _first(stream: TaskStream) -> str:
    async for piece in stream:
        return piece
    return ""
