"""A client whose connection is cut comes back, misses nothing, and does nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

import livethread
from livethread import (
    Backoff,
    CommandError,
    ConnectError,
    ConnectionClosed,
    ErrorCode,
    Piece,
    TextReplaced,
    ThreadReplaced,
    session,
)
from livethread.codec import SUBPROTOCOL_JSON
from livethread.lifeline import AT_ONCE, MENDS
from livethread.messages import (
    Command,
    Empty,
    Generate,
    Hello,
    Mutate,
    Ping,
    Presence,
    Reply,
    RunDelta,
    RunFinished,
    Subscribe,
    ThreadCreate,
    ThreadDelete,
    ThreadFork,
    ThreadUpdated,
    Watch,
)
from livethread.session import Session
from tests.fake_server import NOBODY, FakeServer, fake_server

WORDS = ["One", " two", "", " three", " four", "."]
TEXT = "".join(WORDS)


class Naps:
    """Waits that are over at once, and how long they would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        fake.words = WORDS
        yield fake


@pytest.fixture
def naps() -> Naps:
    return Naps()


@asynccontextmanager
async def connected(server: FakeServer, naps: Naps | None = None, **options: Any) -> AsyncIterator[livethread.Client]:
    backoff = Backoff(random=lambda: 1.0, sleep=(naps or Naps()).sleep, **options)
    async with livethread.connect(server.url, reconnect=backoff) as client:
        yield client


class Gate:
    """Waits that are over when the test says so."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def sleep(self, _: float) -> None:
        await self.opened.wait()


async def eventually(what: Callable[[], object]) -> None:
    """Wait until ``what()`` is true, or until the test's own time limit."""
    while not what():  # noqa: ASYNC110 - what is waited for happens in the other end of the connection
        await asyncio.sleep(0.001)


async def hello() -> Hello:
    return Hello(id=0)


async def conversation(client: livethread.Client, name: str) -> tuple[list[str], list[str], livethread.ClientThread]:
    """What two streams of one thread gave; and the thread, to which one message was appended between them."""
    thread = await client.create(thread=name)
    first = [piece async for piece in thread.say("Count.")]
    await thread.append("Thanks.")
    second = [piece async for piece in thread.say("Again.")]
    await client.ping()
    return first, second, thread


async def check_cuts(cuts: list[int], *, forgetful: bool, vague: bool) -> int:
    """Hold the conversation over sessions of as many frames; how many sessions said hello."""
    async with fake_server() as server:
        server.words, server.forgetful, server.vague = WORDS, forgetful, vague
        async with connected(server) as client:
            server.cuts = cuts
            await server.drop(1012, "the next session is the first that counts its frames")
            first, second, thread = await conversation(client, "t")
        assert ("".join(first), "".join(second)) == (TEXT, TEXT)
        assert "" not in first + second
        assert [message.content for message in thread.messages] == ["Count.", TEXT, "Thanks.", "Again.", TEXT]
        assert thread.value == server.threads["t"]
        assert len(server.answers) == 3
    return server.greeted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 34), max_size=6), st.booleans(), st.booleans())
async def test_streams_give_the_same_text_wherever_the_connection_is_cut(
    cuts: list[int], forgetful: bool, vague: bool
) -> None:
    await check_cuts(cuts, forgetful=forgetful, vague=vague)


@pytest.mark.parametrize("cut", range(1, 33))
async def test_one_cut_at_every_frame_changes_nothing(cut: int) -> None:
    assert await check_cuts([cut], forgetful=False, vague=False) == 3


async def test_it_waits_ever_longer_until_the_server_is_back(server: FakeServer, naps: Naps) -> None:
    down = 4

    async def open_session() -> Session:
        nonlocal down
        down -= 1
        if 0 <= down < 3:
            raise ConnectError("Nobody is there.")
        return await session.open_session(server.url, SUBPROTOCOL_JSON)

    client = livethread.Client(open_session, hello, Backoff(random=lambda: 1.0, sleep=naps.sleep, longest=0.9))
    await client.open()
    server.cut()
    await eventually(lambda: naps.seconds)
    await client.ping()
    assert naps.seconds == [0.25, 0.5, 0.9, 0.9]
    await client.close()


@pytest.mark.parametrize("code", [1001, 1012, 1013, 4001, 4008, 4012, 4013, 4499])
async def test_it_comes_back_after_closes_that_say_so(server: FakeServer, code: int) -> None:
    async with connected(server) as client:
        await server.drop(code, "back soon")
        await eventually(lambda: server.greeted == 2)
        await client.ping()


@pytest.mark.parametrize("code", [1000, 1009, 1011, 4500, 4501, 4504, 4507, 4999])
async def test_it_stays_away_after_all_others_and_everybody_is_told(server: FakeServer, code: int) -> None:
    server.pace = asyncio.Semaphore(1)
    async with connected(server) as client:
        thread = await client.create()
        talking = asyncio.create_task(thread.say("Count.").text())
        await eventually(lambda: thread.last is not None and thread.last.content)
        server.muted = True
        asking = asyncio.create_task(client.ping())
        await eventually(lambda: server.sent(Ping))
        await server.drop(code, "do not")
        for task in (talking, asking):
            with pytest.raises(ConnectionClosed) as closed:
                await task
            assert (closed.value.code, closed.value.reason) == (code, "do not")
        with pytest.raises(ConnectionClosed):
            await client.ping()
        assert (client.state.kind, server.greeted) == ("closed", 1)


async def test_it_gives_up_after_as_many_tries_as_it_was_told(server: FakeServer, naps: Naps) -> None:
    server.token = "right"
    busy = CommandError(ErrorCode.RATE_LIMITED, "Too many hellos. Wait.")
    backoff = Backoff(random=lambda: 1.0, sleep=naps.sleep, tries=3)
    async with livethread.connect(server.url, token="right", reconnect=backoff) as client:
        server.refusals[Hello] = [busy] * 9
        server.cut()
        with pytest.raises(ConnectionClosed) as closed:
            await client.ping()
    assert (closed.value.code, "Too many hellos" in closed.value.reason) == (4013, True)
    assert naps.seconds == [0.25, 0.5, 1.0]


async def test_every_session_gets_a_fresh_token_and_a_refused_one_is_the_end(server: FakeServer, naps: Naps) -> None:
    tokens = iter(["first", "second", "stale"])

    async def token() -> str:
        return next(tokens)

    server.token = "first"
    backoff = Backoff(random=lambda: 1.0, sleep=naps.sleep)
    async with livethread.connect(server.url, token=token, reconnect=backoff) as client:
        server.token = "second"
        server.cut()
        await eventually(lambda: server.greeted == 2)
        await client.ping()
        server.token = "third"
        server.cut()
        await eventually(lambda: client.state.kind == "closed")
        with pytest.raises(ConnectionClosed, match=r"4500.*not known here"):
            await client.ping()


class Tokens:
    """Gives one token whenever it is asked."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.token


@asynccontextmanager
async def let_in(server: FakeServer, token: str | Tokens) -> AsyncIterator[livethread.Client]:
    """A client whose token, "right", is good until its first session is closed."""
    server.token = "right"
    backoff = Backoff(random=lambda: 1.0, sleep=Naps().sleep)
    async with livethread.connect(server.url, token=token, reconnect=backoff) as client:
        yield client


async def test_a_session_that_ends_with_its_token_goes_on_with_a_fresh_one(server: FakeServer) -> None:
    tokens, server.pace = Tokens("right"), asyncio.Semaphore(1)
    async with let_in(server, tokens) as client:
        thread = await client.create()
        talking = asyncio.create_task(thread.say("Count.").text())
        await eventually(lambda: thread.last is not None and thread.last.content)
        tokens.token = server.token = "fresh"
        await server.drop(4500, "the token has expired")
        for _ in WORDS:
            server.pace.release()
        assert await talking == TEXT
        assert (tokens.asked, server.greeted, client.state.kind) == (2, 2, "open")


async def test_a_session_that_ends_with_its_token_is_the_last_where_the_next_is_refused(server: FakeServer) -> None:
    tokens = Tokens("right")
    async with let_in(server, tokens) as client:
        server.token = "fresh"
        await server.drop(4500, "the token has expired")
        await eventually(lambda: client.state.kind == "closed")
        with pytest.raises(ConnectionClosed, match=r"4500.*not known here"):
            await client.ping()
    assert (tokens.asked, server.greeted) == (2, 1)


async def test_a_session_that_ends_with_its_token_is_the_last_where_there_is_but_one(server: FakeServer) -> None:
    async with let_in(server, "right") as client:
        await server.drop(4500, "the token has expired")
        await eventually(lambda: client.state.kind == "closed")
        with pytest.raises(ConnectionClosed, match=r"4500.*has expired"):
            await client.ping()
    assert server.greeted == 1
    assert len(server.sent(Hello)) == 1


async def test_where_no_token_can_be_had_the_error_says_so(server: FakeServer) -> None:
    def token() -> str:
        raise OSError("the vault is closed")

    with pytest.raises(ConnectError, match="the vault is closed"):
        async with livethread.connect(server.url, token=token):
            pytest.fail("there is no token to connect with")


async def test_its_states_are_shown_as_they_change(server: FakeServer, naps: Naps) -> None:
    seen: list[str] = []

    async def follow(client: livethread.Client) -> None:
        seen.extend([state.kind async for state in client.states()])

    async with connected(server, naps) as client:
        following = asyncio.create_task(follow(client))
        await asyncio.sleep(0)
        server.cut()
        await eventually(lambda: server.greeted == 2)
        await client.ping()
    await following
    assert seen == ["open", "waiting", "connecting", "open", "closed"]


async def test_what_is_asked_while_there_is_no_connection_is_sent_later_and_in_order(server: FakeServer) -> None:
    gate = Gate()
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep)) as client:
        thread = await client.create()
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        asked = [asyncio.create_task(thread.append(word)) for word in ("One", "Two", "Three")]
        given_up = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
        given_up.cancel()
        gate.opened.set()
        await asyncio.gather(*asked)
        assert [message.content for message in server.threads[thread.id].messages] == ["One", "Two", "Three"]
        assert server.sent(Ping) == []


async def test_more_than_a_server_takes_at_once_is_sent_bit_by_bit(server: FakeServer) -> None:
    gate = Gate()
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep)) as client:
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        asked = [asyncio.create_task(client.ping()) for _ in range(3 * AT_ONCE)]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*asked)
        assert len(server.sent(Ping)) == 3 * AT_ONCE


@pytest.mark.parametrize(
    ("words", "error"), [({"title": "\ud800"}, UnicodeEncodeError), ({"metadata": {"x": object()}}, TypeError)]
)
async def test_what_can_never_be_sent_is_refused_at_once_and_the_others_go_on(
    server: FakeServer, words: dict[str, Any], error: type[Exception]
) -> None:
    gate = Gate()
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep)) as client:
        thread = await client.create()
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        with pytest.raises(error):
            await thread.update(**words)
        asked = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
        gate.opened.set()
        await asked
        with pytest.raises(error):
            await thread.update(**words)
        await client.ping()


async def test_a_command_that_is_spoilt_while_it_waits_fails_alone(server: FakeServer) -> None:
    gate, metadata = Gate(), {"x": object()}
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep)) as client:
        thread = await client.create()
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        spoilt: dict[str, Any] = {"x": 1}
        asked = [asyncio.create_task(thread.update(metadata=spoilt)), asyncio.create_task(thread.append("One"))]
        await asyncio.sleep(0)
        spoilt.update(metadata)
        gate.opened.set()
        with pytest.raises(TypeError):
            await asked[0]
        await asked[1]
        assert await thread.say("Count.").text() == TEXT


async def test_a_client_that_fails_while_it_comes_back_ends_and_says_why(server: FakeServer) -> None:
    class Failing(livethread.Client):
        def returning(self) -> Iterable[Command]:
            raise ValueError("the list of threads is gone")

    client = Failing(partial(session.open_session, server.url, SUBPROTOCOL_JSON), hello, Backoff(sleep=Naps().sleep))
    await client.open()
    server.cut()
    with pytest.raises(ConnectionClosed):
        await client.ping()
    with pytest.raises(ValueError, match="the list of threads is gone"):
        await client.close()


async def test_closing_while_there_is_no_connection_waits_for_nobody(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with livethread.connect(server.url, reconnect=Backoff(sleep=Gate().sleep)) as client:
        thread = await client.create()
        stream = aiter(thread.say("Count."))
        await anext(stream)
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        waiting = asyncio.create_task(client.ping())
        await asyncio.sleep(0)
    with pytest.raises(ConnectionClosed) as closed:
        await waiting
    assert closed.value.code == 1000


# Commands whose answer was cut off


async def unanswered(server: FakeServer) -> None:
    """The next command is carried out, but its reply never comes."""
    server.cuts = [3]
    await server.drop(1012, "count the frames of the next session")
    await eventually(lambda: server.greeted == 2)


async def test_a_thread_made_twice_is_made_once(server: FakeServer) -> None:
    async with connected(server) as client:
        await unanswered(server)
        thread = await client.create(title="Once")
        assert list(server.threads) == [thread.id]
        assert len(server.sent(ThreadCreate)) == 2


async def test_a_thread_with_an_id_of_ours_is_not_mistaken_for_somebody_elses(server: FakeServer) -> None:
    async with connected(server) as client:
        await unanswered(server)
        assert (await client.create(thread="ours")).id == "ours"
        theirs = await client.create(thread="theirs")
        await theirs.append("Hello")
        server.cuts = [2]
        await server.drop(1012, "the next session ends behind its second command")
        await eventually(lambda: server.greeted == 4)
        with pytest.raises(CommandError) as refused:
            await client.create(thread="theirs")
        assert refused.value.code is ErrorCode.EXISTS


async def test_a_fork_made_twice_is_made_once(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create(thread="trunk")
        await unanswered(server)
        fork = await thread.fork()
        assert set(server.threads) == {"trunk", fork.id}
        assert len(server.sent(ThreadFork)) == 2


async def test_a_fork_over_somebody_elses_thread_is_refused_however_often_it_is_sent(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create(thread="trunk")
        await client.create(thread="taken")
        await unanswered(server)
        with pytest.raises(CommandError) as refused:
            await thread.fork(new_thread="taken")
        assert refused.value.code is ErrorCode.EXISTS


async def test_a_thread_deleted_twice_is_gone(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        await unanswered(server)
        await thread.delete()
        assert (server.threads, len(server.sent(ThreadDelete))) == ({}, 2)


async def test_a_message_appended_twice_is_there_once(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        await unanswered(server)
        await thread.append("Once")
        first, second = server.sent(Mutate)
        assert first.key == second.key is not None
        assert len(server.threads[thread.id].messages) == 1


async def test_a_run_asked_for_twice_is_one_and_a_key_of_ones_own_is_kept(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        await unanswered(server)
        assert await thread.generate(key="mine").text() == TEXT
        assert {command.key for command in server.sent(Generate)} == {"mine"}
        assert len(server.threads[thread.id].messages) == 1


async def test_a_server_that_still_loads_its_model_after_a_restart_is_asked_again(server: FakeServer) -> None:
    loading, gate = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again."), Gate()
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep, tries=3)) as client:
        thread = await client.create()
        await thread.attach()
        server.refusals[Generate] = [loading]
        with pytest.raises(CommandError):
            await thread.say("Count.").text()
        server.refusals[Generate] = [loading] * 3
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        talking = asyncio.create_task(thread.say("Count.").text())
        await asyncio.sleep(0)
        gate.opened.set()
        assert await talking == TEXT
        assert server.refusals[Generate] == []


async def test_what_was_never_sent_before_is_not_taken_for_done(server: FakeServer) -> None:
    gate = Gate()
    async with livethread.connect(server.url, reconnect=Backoff(sleep=gate.sleep)) as client:
        server.cut()
        await eventually(lambda: client.state.kind == "waiting")
        deleting = asyncio.create_task(client.thread("nowhere").delete())
        await asyncio.sleep(0)
        gate.opened.set()
        with pytest.raises(CommandError):
            await deleting


# What is followed


async def test_readers_of_events_see_no_gap(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(2)
    async with connected(server) as client:
        thread = await client.create()
        events = thread.subscribe()
        reading = asyncio.ensure_future(anext(events))
        await thread.attach()
        talking = asyncio.create_task(thread.say("Count.").text())
        await eventually(lambda: thread.last is not None and thread.last.content == "One two")
        server.cut()
        for _ in WORDS:
            server.pace.release()
        await talking
        seen = [await reading]
        while not isinstance(seen[-1], RunFinished):
            seen.append(await anext(events))
        deltas = [event for event in seen if isinstance(event, RunDelta)]
        assert "".join(delta.text for delta in deltas) == TEXT
        assert all(one.to == other.start for one, other in pairwise(deltas))
        assert [command.since for command in server.sent(Subscribe)][-1] is not None


async def gap(server: FakeServer, thread: str) -> None:
    """Tell a client of a thread's third change, behind its first."""
    (told,) = server.sessions
    settled = {"updated_at": "then", "by": NOBODY}
    await server.durable(ThreadUpdated, thread, 1, title="First", **settled)
    told.subscribed.clear()
    await server.durable(ThreadUpdated, thread, 1, title="Second", **settled)
    told.subscribed.add(thread)
    await server.durable(ThreadUpdated, thread, 1, title="Third", **settled)


async def test_a_gap_in_what_is_told_is_filled_in_another_session(server: FakeServer, naps: Naps) -> None:
    async with connected(server, naps) as client:
        thread = await client.create()
        events = thread.subscribe()
        reading = asyncio.ensure_future(anext(events))
        await thread.attach()
        await gap(server, thread.id)
        seen = [await reading, await anext(events), await anext(events)]
        assert [one.title for one in seen if isinstance(one, ThreadUpdated)] == ["First", "Second", "Third"]
        assert (thread.value, server.greeted) == (server.threads[thread.id], 2)
        assert len(naps.seconds) == 1


async def test_where_the_server_does_not_know_what_was_in_the_gap_it_is_asked_for_everything(
    server: FakeServer,
) -> None:
    async with connected(server) as client:
        thread = await client.create()
        events = thread.subscribe()
        reading = asyncio.ensure_future(anext(events))
        await thread.attach()
        server.histories[thread.id] = Leaky()
        await gap(server, thread.id)
        assert isinstance(await reading, ThreadUpdated)
        replaced = await anext(events)
        assert isinstance(replaced, ThreadReplaced)
        assert replaced.value == thread.value == server.threads[thread.id]
        await client.ping()
        assert (server.greeted, client.state.kind) == (3, "open")


class Leaky(list[Any]):
    """A history that forgets every second event."""

    def append(self, event: Any) -> None:
        if event.seq % 2:
            super().append(event)


async def break_protocol(server: FakeServer, number: int) -> None:
    """Break the protocol in the session that is greeted as this one."""
    await eventually(lambda: server.greeted == number and len(server.sessions) == 1)
    (told,) = server.sessions
    await told.send(told.codec.encode(Reply(id=99, ok=Empty())))
    await eventually(lambda: told not in server.sessions)


async def test_a_server_that_breaks_the_protocol_again_and_again_is_left(server: FakeServer, naps: Naps) -> None:
    async with connected(server, naps) as client:
        for number in range(1, MENDS + 1):
            await break_protocol(server, number)
        await client.ping()
        await break_protocol(server, MENDS + 1)
        with pytest.raises(ConnectionClosed, match="command 99") as closed:
            await client.ping()
        assert closed.value.code == 1002
    assert naps.seconds == [0.25 * 2**tries for tries in range(MENDS)]


async def test_a_server_that_breaks_the_protocol_now_and_then_is_not_left(server: FakeServer) -> None:
    hours = itertools.count(0, 3600)
    async with connected(server, clock=lambda: next(hours)) as client:
        for number in range(1, 2 * MENDS + 1):
            await break_protocol(server, number)
        await client.ping()


async def test_readers_are_told_where_the_server_has_forgotten_what_they_missed(server: FakeServer) -> None:
    server.forgetful = True
    async with connected(server) as client:
        thread = await client.create()
        events = thread.subscribe()
        reading = asyncio.ensure_future(anext(events))
        await thread.attach()
        server.cut()
        replaced = await reading
        assert isinstance(replaced, ThreadReplaced)
        assert replaced.value == thread.value == server.threads[thread.id]


async def test_readers_of_a_thread_that_is_gone_are_told(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        reading = asyncio.ensure_future(anext(thread.subscribe()))
        await thread.attach()
        del server.threads[thread.id]
        server.cut()
        with pytest.raises(CommandError) as refused:
            await reading
        assert refused.value.code is ErrorCode.NOT_FOUND
        assert not thread.attached


async def test_a_server_that_has_no_room_for_a_subscription_is_asked_again_later(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        await thread.attach()
        server.refusals[Subscribe] = [CommandError(ErrorCode.RATE_LIMITED, "Too many. Wait.")] * 2
        server.cut()
        await eventually(lambda: server.greeted == 4)
        assert await thread.say("Count.").text() == TEXT


async def test_who_was_present_is_so_again(server: FakeServer) -> None:
    async with connected(server) as client:
        thread = await client.create()
        await thread.attach()
        await thread.presence(typing=True)
        await eventually(lambda: thread.here)
        assert thread.here[0].typing
        server.cut()
        await eventually(lambda: thread.here and not thread.here[0].typing)
        assert [command.typing for command in server.sent(Presence)] == [True, False]
        await thread.unsubscribe()
        assert thread.here == ()


async def test_a_watched_list_is_listed_again(server: FakeServer) -> None:
    async with connected(server) as client:
        await client.create(thread="a")
        lists = client.watch()
        assert [thread.id for thread in await anext(lists)] == ["a"]
        await client.create(thread="b")
        assert {thread.id for thread in await anext(lists)} == {"a", "b"}
        del server.threads["a"]
        server.cut()
        assert {thread.id for thread in await anext(lists)} == {"b"}
        assert len(server.sent(Watch)) == 2


# Runs that a restarted server goes on with


async def restarted(server: FakeServer, kept: int, words: list[str]) -> tuple[list[Piece], livethread.RunStream]:
    """What a stream gives whose server dies behind three words."""
    server.words, server.pace = ["One", " two", " three", " four"], asyncio.Semaphore(0)
    async with connected(server) as client:
        thread = await client.create()
        stream = thread.say("Count.")
        pieces = stream.pieces()
        given = []
        for _ in range(3):
            server.pace.release()
            given.append(await anext(pieces))
        await server.restart(stream.run, kept, words)
        for _ in words:
            server.pace.release()
        given += [piece async for piece in pieces]
        await client.ping()
        assert thread.value == server.threads[thread.id]
        return given, stream


@pytest.mark.parametrize("kept", range(4))
async def test_text_that_a_restarted_server_says_again_is_not_given_again(server: FakeServer, kept: int) -> None:
    given, stream = await restarted(server, kept, ["One", " two", " three", " four", " five"])
    assert "".join(piece.text for piece in given) == "One two three four five"
    assert not any(piece.anew for piece in given)
    assert stream.message is not None
    assert stream.message.content == "One two three four five"


async def test_text_that_comes_out_differently_is_given_anew(server: FakeServer) -> None:
    given, stream = await restarted(server, 1, ["One", " or", " so"])
    assert [piece.anew for piece in given] == [False, False, False, True, False][: len(given)]
    assert "".join(piece.text for piece in given[3:]) == "One or so"
    assert stream.message is not None
    assert stream.message.content == "One or so"


async def test_who_cannot_take_text_back_gets_an_error_with_the_new_one(server: FakeServer) -> None:
    server.words, server.pace = ["One", " two", " three"], asyncio.Semaphore(2)
    async with connected(server) as client:
        thread = await client.create()
        stream = thread.say("Count.")
        pieces, given = aiter(stream), ""
        while given != "One two":
            given += await anext(pieces)
        await server.restart(stream.run, 1, ["One", " or"])
        server.pace.release()
        with pytest.raises(TextReplaced) as replaced:
            await anext(pieces)
        assert (replaced.value.run, replaced.value.text) == (stream.run, "One or")


async def test_all_the_text_of_a_restarted_run_is_the_text_it_ended_with(server: FakeServer) -> None:
    server.words, server.pace = ["One", " two"], asyncio.Semaphore(1)
    async with connected(server) as client:
        thread = await client.create()
        stream = thread.say("Count.")
        reading = asyncio.create_task(stream.text())
        await eventually(lambda: thread.last is not None and thread.last.content == "One")
        await server.restart(stream.run, 0, ["Another"])
        server.pace.release()
        assert await reading == "Another"


async def test_logprobs_of_text_that_was_drawn_again_are_forgotten(server: FakeServer) -> None:
    server.likely = True
    words = ["One", " or", " so"]
    _, stream = await restarted(server, 1, words)
    assert all(words[at] == one.text for at, one in stream.logprobs.items())
