"""The client over a real WebSocket on loopback, to a small server that speaks the protocol."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from typing import Literal

import pytest
import pytest_asyncio

import livethread
from livethread import Append, Draft, ErrorCode
from livethread.messages import (
    Cancel,
    Generate,
    ReadDraft,
    RunDelta,
    RunFinished,
    Subscribe,
    ThreadDeleted,
    ThreadGone,
    ThreadShare,
    ThreadUpdated,
)
from tests.fake_server import FakeServer, fake_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


@pytest_asyncio.fixture
async def client(server: FakeServer) -> AsyncIterator[livethread.Client]:
    async with livethread.connect(server.url) as connected:
        yield connected


async def eventually(what: Callable[[], object]) -> None:
    """Wait until ``what()`` is true, or until the test's own time limit."""
    while not what():  # noqa: ASYNC110 - what is waited for happens in the other end of the connection
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_chat_turn_streams_the_reply(server: FakeServer, codec: Literal["json", "msgpack"]) -> None:
    async with livethread.connect(server.url, codec=codec) as client:
        thread = await client.create(title="Greetings")
        stream = thread.say("Hello", temperature=0, max_tokens=8)
        pieces = [piece async for piece in stream]
    assert "".join(pieces) == "Good day."
    assert stream.message is not None
    assert (stream.message.content, stream.reason) == ("Good day.", "stop")
    assert stream.usage is not None
    assert stream.timings is not None
    assert thread.last == stream.message
    assert [message.role for message in thread.messages] == ["user", "assistant"]
    assert server.sent(Generate)[0].sampling == livethread.Sampling(temperature=0, max_tokens=8)


async def test_hello_tells_who_is_there(client: livethread.Client) -> None:
    assert client.hello.server == "fake"
    assert client.hello.principal.id == "nobody"
    await client.ping()


async def test_a_threads_context_can_be_warmed_evicted_and_read_ahead(
    server: FakeServer, client: livethread.Client
) -> None:
    thread = await client.create()
    await thread.draft("Hel")
    assert (await thread.warm(), await thread.evict()) == ("live", "disk")
    assert [(draft.thread, draft.text) for draft in server.sent(ReadDraft)] == [(thread.id, "Hel")]


async def test_a_wrong_token_is_refused(server: FakeServer) -> None:
    server.token = "right"
    with pytest.raises(livethread.CommandError) as refused:
        async with livethread.connect(server.url, token="wrong"):
            pytest.fail("a refused hello gives no client")
    assert refused.value.code is ErrorCode.UNAUTHORIZED
    async with livethread.connect(server.url, token="right") as client:
        await client.ping()


async def test_where_nothing_listens_the_error_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(livethread.ConnectError, match=f"127.0.0.1:{port}"):
        async with livethread.connect(f"ws://127.0.0.1:{port}/v1/ws"):
            pytest.fail("there is no server")


async def test_a_server_that_speaks_something_else_is_an_error(server: FakeServer) -> None:
    server.subprotocol_missing = True
    with pytest.raises(livethread.ConnectError, match="does not speak"):
        async with livethread.connect(server.url):
            pytest.fail("no subprotocol was agreed")


async def test_a_refusal_is_raised_and_the_session_goes_on(client: livethread.Client) -> None:
    with pytest.raises(livethread.CommandError) as refused:
        await client.thread("nowhere").get()
    assert refused.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(livethread.CommandError):
        await client.thread("nowhere").say("Hello").text()
    await client.ping()


async def test_every_change_of_a_thread_reaches_the_live_copy(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create(messages=[Draft("system", "Be brief.", "s")])
    await thread.attach()
    first = await thread.append("One")
    second = await thread.append("Two", "assistant", message="two")
    assert second == "two"
    await thread.edit(first, "Eins")
    await thread.append("Three")
    await thread.truncate(second)
    await thread.delete_message("s")
    await thread.mutate([livethread.Insert(first, Draft("user", "Zero")), Append(Draft("user", "Last"))])
    await thread.update(title="Numbers")
    await client.ping()
    assert [message.content for message in thread.messages] == ["Zero", "Eins", "Two", "Last"]
    assert thread.value == server.threads[thread.id]


async def test_two_clients_see_the_same(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create()
    async with livethread.connect(server.url, codec="json") as other:
        seen = other.thread(thread.id)
        await seen.attach()
        await thread.say("Hello").text()
        await other.ping()
        assert seen.value == thread.value
        assert seen.messages[-1].content == "Good day."


async def test_many_threads_share_one_connection(client: livethread.Client) -> None:
    threads = [await client.create() for _ in range(20)]
    texts = await asyncio.gather(*(thread.say("Hello").text() for thread in threads))
    assert texts == ["Good day."] * 20


async def test_leaving_a_stream_early_cancels_its_run(client: livethread.Client, server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    thread = await client.create()
    async for piece in thread.say("Hello"):
        assert piece == "Good"
        break
    await eventually(lambda: thread.last is not None and thread.last.state == "cancelled")
    assert server.sent(Cancel)[0].run == server.sent(Generate)[0].run


async def test_leaving_the_block_within_a_stream_cancels_its_run(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with livethread.connect(server.url) as client:
        thread = await client.create()
        async for _ in thread.say("Hello"):
            break
    assert len(server.sent(Cancel)) == 1


async def test_a_cancelled_task_cancels_its_run_even_before_it_was_accepted(
    client: livethread.Client, server: FakeServer
) -> None:
    server.pace = asyncio.Semaphore(0)
    thread = await client.create()
    await thread.attach()
    talking = asyncio.create_task(thread.say("Hello").text())
    await asyncio.sleep(0)
    talking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talking
    await eventually(lambda: thread.last is not None and thread.last.state == "cancelled")


async def test_a_run_that_was_never_asked_for_is_not_cancelled(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create()
    thread.say("Hello")
    with pytest.raises(livethread.CommandError):
        await client.thread("nowhere").say("Hello").text()
    await client.ping()
    assert server.sent(Generate) == []
    assert server.sent(Cancel) == []


async def test_somebody_elses_cancel_ends_the_stream(client: livethread.Client, server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    stream = (await client.create()).say("Hello")
    pieces = []
    async for piece in stream:
        pieces.append(piece)
        await stream.cancel()
    assert pieces == ["Good"]
    assert stream.reason == "cancelled"
    assert len(server.sent(Cancel)) == 1


async def test_a_run_that_fails_raises_what_the_server_said(client: livethread.Client, server: FakeServer) -> None:
    server.failure = livethread.messages.ErrorBody("context_overflow", "The prompt is too long.", False)
    stream = (await client.create()).say("Hello")
    with pytest.raises(livethread.RunFailed, match="The prompt is too long") as failed:
        await stream.text()
    assert failed.value.code == "context_overflow"
    assert failed.value.run == stream.run
    assert stream.message is not None
    assert stream.message.state == "failed"


async def test_a_stream_is_read_only_once(client: livethread.Client) -> None:
    stream = (await client.create()).say("Hello")
    await stream.text()
    with pytest.raises(RuntimeError, match="only once"):
        await stream.text()


async def test_reply_regenerate_and_continue_ask_for_their_modes(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create()
    await thread.reply(seed=1).text()
    await thread.regenerate().text()
    await thread.continue_().text()
    assert [command.mode for command in server.sent(Generate)] == ["reply", "regenerate", "continue"]
    assert [command.ops for command in server.sent(Generate)] == [(), (), ()]


async def test_a_subscription_gives_typed_events_in_order(client: livethread.Client) -> None:
    thread = await client.create()

    async def watch() -> list[str]:
        return [type(event).__name__ async for event in thread.subscribe()]

    watching = asyncio.create_task(watch())
    await thread.attach()
    await thread.say("Hello").text()
    await thread.delete()
    seen = await watching
    assert seen[:2] == ["ThreadMutated", "RunStarted"]
    assert seen[-2:] == ["RunFinished", "ThreadDeleted"]
    assert not thread.attached


async def test_one_subscription_serves_every_reader_of_a_thread(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create()
    assert client.thread(thread.id) is thread
    await asyncio.gather(*(client.thread(thread.id).attach() for _ in range(5)))
    await thread.say("Hello").text()
    assert len(server.sent(Subscribe)) == 1


async def test_a_reader_that_sleeps_holds_nobody_up_and_gets_joined_deltas(
    client: livethread.Client, server: FakeServer
) -> None:
    server.words = ["a"] * 5000
    thread = await client.create()
    events = thread.subscribe()
    sleeper = asyncio.ensure_future(anext(events))
    await thread.attach()
    assert await thread.say("Hello").text() == "a" * 5000
    await sleeper
    rest = []
    async for event in events:
        rest.append(event)
        if isinstance(event, RunFinished):
            break
    deltas = [event for event in rest if isinstance(event, RunDelta)]
    assert "".join(delta.text for delta in deltas) == "a" * 5000
    assert len(deltas) < 100


async def test_unsubscribing_ends_readers_and_streams(client: livethread.Client, server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(0)
    thread = await client.create()
    events = thread.subscribe()
    talking = asyncio.create_task(thread.say("Hello").text())
    await anext(events)
    await eventually(lambda: server.sent(Generate))
    await thread.unsubscribe()
    with pytest.raises(livethread.LivethreadError, match="unsubscribed"):
        await talking
    assert not [event async for event in events if isinstance(event, ThreadDeleted)]


async def test_threads_are_listed_over_all_pages(client: livethread.Client) -> None:
    made = [(await client.create()).id for _ in range(7)]
    assert [thread.id async for thread in client.threads(page=3)] == made


async def test_a_fork_is_a_thread_of_its_own(client: livethread.Client) -> None:
    thread = await client.create(messages=[Draft("user", "Hello")])
    fork = await thread.fork(new_thread="other")
    await fork.append("More")
    found = await fork.get()
    assert (fork.id, len(found.thread.messages)) == ("other", 2)
    assert len((await thread.get()).thread.messages) == 1


async def test_a_lost_connection_ends_everything_that_waits_where_nobody_comes_back(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with livethread.connect(server.url, reconnect=False) as client:
        thread = await client.create()
        talking = asyncio.create_task(thread.say("Hello").text())
        watching = asyncio.ensure_future(anext(thread.subscribe()))
        await eventually(lambda: thread.last is not None and thread.last.content == "Good")
        await watching
        events = thread.subscribe()
        reading = asyncio.ensure_future(anext(events))
        server.muted = True
        asking = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
        await server.drop(4001, "back soon")
        for task in (talking, reading, asking):
            with pytest.raises(livethread.ConnectionClosed) as closed:
                await task
            assert (closed.value.code, closed.value.reason) == (4001, "back soon")
        with pytest.raises(livethread.ConnectionClosed):
            await client.ping()


async def test_a_server_that_breaks_the_protocol_is_left(server: FakeServer) -> None:
    async with livethread.connect(server.url, codec="json", reconnect=False) as client:
        thread = await client.create()
        await thread.attach()
        (session,) = server.sessions
        await session.send('{"type": "reply", "id": 99, "ok": {}}')
        with pytest.raises(livethread.ConnectionClosed) as closed:
            await anext(thread.subscribe())
        assert closed.value.code == 1002


async def test_what_a_newer_server_says_is_ignored(server: FakeServer) -> None:
    async with livethread.connect(server.url, codec="json") as client:
        thread = await client.create()
        await thread.attach()
        (session,) = server.sessions
        await session.send(f'{{"type": "run.sang", "thread": "{thread.id}", "tune": 1}}')
        await session.send(f'{{"type": "thread.residency", "thread": "{thread.id}", "residency": "disk", "x": 1}}')
        await client.ping()
        assert thread.value is not None
        assert thread.value.residency == "disk"


async def test_a_cancelled_call_does_not_disturb_the_next(client: livethread.Client, server: FakeServer) -> None:
    waiting = asyncio.create_task(client.ping())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await client.ping()


async def test_closing_leaves_no_task_and_no_warning(server: FakeServer) -> None:
    before = asyncio.all_tasks()
    async with livethread.connect(server.url) as client:
        thread = await client.create()
        await thread.say("Hello").text()
        events = thread.subscribe()
        reader = asyncio.ensure_future(anext(events))
        await thread.update(title="Seen")
        assert isinstance(await reader, ThreadUpdated)
    await client.close()
    del events, reader, client, thread
    gc.collect()
    await eventually(lambda: not server.sessions)
    await asyncio.sleep(0)
    ours = [task for task in asyncio.all_tasks() - before if "livethread/" in str(task.get_coro())]
    assert ours == []


async def test_the_server_is_asked_politely_to_end_when_nobody_answers(server: FakeServer) -> None:
    async with livethread.connect(server.url) as client:
        server.muted = True
        waiting = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
    with pytest.raises(livethread.ConnectionClosed) as closed:
        await waiting
    assert closed.value.code == 1000


async def test_a_thread_is_shared_and_an_invitation_taken_up(client: livethread.Client, server: FakeServer) -> None:
    thread = await client.create()
    assert (await thread.share("viewer", principal="bob")).invite is None
    assert (await thread.share("participant", invite=True, expires_s=60)).invite == "token"
    await thread.share(invite="token")
    asked = [(one.principal, one.invite, one.role, one.expires_s) for one in server.sent(ThreadShare)]
    assert asked == [
        ("bob", None, "viewer", None),
        (None, True, "participant", 60),
        (None, "token", None, None),
    ]


async def test_who_may_not_read_a_thread_any_more_is_told(client: livethread.Client, server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(0)
    thread = await client.create()
    reading = asyncio.ensure_future(anext(thread.subscribe()))
    await thread.attach()
    (session,) = server.sessions
    await session.send(session.codec.encode(ThreadGone(thread=thread.id)))
    with pytest.raises(livethread.CommandError, match="You may read this thread no more"):
        await reading
    assert not thread.attached
    assert client.state.kind == "open"


async def test_a_stream_knows_how_likely_its_tokens_were(client: livethread.Client, server: FakeServer) -> None:
    server.likely = True
    thread = await client.create()
    stream = thread.say("Hello", logprobs=0)
    await stream.text()
    assert [stream.logprobs[at].text for at in range(3)] == ["Good", " day", "."]
