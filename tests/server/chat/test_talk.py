from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_asyncio
from rich.console import Console

import livethread
from livethread import Append, Backoff, Draft, LivethreadError
from livethread.messages import Cancel, Generate, Here, PresenceChanged, ThreadShare
from livethread_server.chat.commands import COMMANDS, do
from livethread_server.chat.lines import Lines
from livethread_server.chat.screen import Screen
from livethread_server.chat.talk import Talk
from tests.fake_server import FakeServer, fake_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


class Person:
    """Somebody at a terminal that keeps all it shows."""

    def __init__(self, client: livethread.Client) -> None:
        self.client = client
        self.paper = io.StringIO()
        self._end, self._keys = os.pipe()
        console = Console(file=self.paper, force_terminal=True, color_system=None, width=200, highlight=False)
        self.talk = Talk(client, Lines(self._end), Screen(console), do)
        self.talking: asyncio.Task[None] | None = None

    def type(self, *lines: str) -> None:
        """Type lines."""
        os.write(self._keys, "".join(f"{line}\n" for line in lines).encode())

    async def sees(self, text: str, after: int = 0) -> int:
        """Come back when ``text`` is shown behind a place; the place behind it."""
        await eventually(lambda: text in self.paper.getvalue()[after:])
        return self.paper.getvalue().index(text, after) + len(text)

    def leave(self) -> None:
        """Type Ctrl-D."""
        os.close(self._keys)

    def close(self) -> None:
        os.close(self._end)


async def eventually(what: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.001)


@asynccontextmanager
async def seated(server: FakeServer, thread: str = "t") -> AsyncIterator[Person]:
    """A person who talks on a thread, and leaves at the end."""
    backoff = Backoff(random=lambda: 0.0)
    async with livethread.connect(server.url, reconnect=backoff) as client:
        person = Person(client)
        await person.talk.open(await client.create(thread=thread, if_exists="get"))
        person.talking = asyncio.create_task(person.talk.run())
        yield person
        if not person.talking.done():
            person.leave()
        await person.talking
        person.close()


async def test_a_person_talks_and_sees_the_replies(server: FakeServer) -> None:
    async with seated(server) as person:
        person.type("Hello", "", "Again")
        place = await person.sees("Good day.\n")
        await person.sees("Good day.\n", place)
    shown = person.paper.getvalue()
    assert "Hello" not in shown  # the terminal itself echoes what is typed
    assert [message.content for message in server.threads["t"].messages] == ["Hello", "Good day.", "Again", "Good day."]


async def test_the_history_is_shown_at_the_start(server: FakeServer) -> None:
    async with livethread.connect(server.url) as client:
        thread = await client.create(thread="t", messages=[Draft("system", "Be\x1b brief.")])
        await thread.say("Hello").text()
    async with seated(server) as person:
        pass
    shown = person.paper.getvalue()
    for text in ("[system] Be␛ brief.", "> Hello", "Good day.", "livethread chat --thread t"):
        assert text in shown


async def test_an_interrupt_cancels_the_reply_and_not_the_program(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with seated(server) as person:
        person.type("Hello")
        place = await person.sees("Good")
        person.talk.interrupt()
        place = await person.sees("(cancelled)", place)
        assert len(server.sent(Cancel)) == 1
        person.talk.interrupt()
        place = await person.sees("/quit leaves", place)
        server.pace = None
        person.type("Hello")
        await person.sees("Good day.", place)


async def test_a_second_interrupt_waits_no_longer(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with seated(server) as person:
        person.type("Hello")
        await person.sees("Good")
        server.muted = True
        person.talk.interrupt()
        person.talk.interrupt()
        await person.sees("(not waited for any longer)")
        server.muted = False


async def test_an_interrupt_that_comes_before_the_reply_was_asked_for_is_not_lost(server: FakeServer) -> None:
    async with seated(server) as person:
        saying = asyncio.create_task(person.talk.say("Hello"))
        while person.talk._replying is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        person.talk.interrupt()
        await saying
        await person.sees("(not waited for any longer)")
        assert server.sent(Generate) == []


async def test_what_others_do_is_shown(server: FakeServer) -> None:
    async with seated(server) as person, livethread.connect(server.url) as client:
        other = client.thread("t")
        await other.append("Hello, all.")
        place = await person.sees("> Hello, all.\n")
        await other.reply().text()
        place = await person.sees("Good day.\n", place)
        await other.update(title="A \x1b chat")
        place = await person.sees("'A ␛ chat'", place)
        await other.edit(other.messages[0].id, "Hello, both.")
        place = await person.sees("A message was changed: Hello, both.", place)
        here = tuple(Here(session, session, session.title()) for session in ("s1", "bob"))
        await server.tell(PresenceChanged(thread="t", here=here, total=2))
        place = await person.sees("Bob is here.", place)
        person.type("/who")
        place = await person.sees("Here: S1, Bob.", place)
        await server.tell(PresenceChanged(thread="t", here=here[:1], total=1))
        place = await person.sees("Bob has left.", place)
        await other.truncate(None)
        place = await person.sees("What came from the beginning was taken out.", place)
        await other.delete()
        await person.sees("The thread was deleted.", place)


async def test_notices_never_fall_into_a_reply(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with seated(server) as person, livethread.connect(server.url) as client:
        person.type("Hello")
        await person.sees("Good")
        await client.thread("t").append("Me too.")
        for _ in range(2):
            server.pace.release()
        place = await person.sees("Good day.\n")
        await person.sees("> Me too.", place)


async def test_a_lost_connection_is_shown_and_the_reply_goes_on(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with seated(server) as person:
        person.type("Hello")
        await person.sees("Good")
        server.cut()
        await eventually(lambda: server.greeted == 2)
        for _ in range(2):
            server.pace.release()
        place = await person.sees(" day.")
        await person.sees("There is no connection", place)
        await person.sees("The connection is back.", place)


async def test_a_connection_that_is_gone_for_good_ends_the_program(server: FakeServer) -> None:
    failed = None
    try:
        async with seated(server) as person:
            await server.drop(4507, "not you")
            assert person.talking is not None
            await asyncio.wait([person.talking])
    except LivethreadError as error:
        failed = error
    assert failed is not None
    assert "not you" in str(failed)


async def test_a_refused_message_is_said_and_the_talk_goes_on(server: FakeServer) -> None:
    async with seated(server) as person:
        del server.threads["t"]
        person.type("Hello", "/nonsense", "/title")
        place = await person.sees("not_found")
        place = await person.sees("There is no /nonsense. Known: /help, /new", place)
        await person.sees("/title needs something behind it", place)


async def test_threads_are_made_listed_forked_and_gone_to(server: FakeServer) -> None:
    async with seated(server) as person:
        person.type("/new Rome trip")
        place = await person.sees("Thread Rome trip.")
        person.type("/threads")
        place = await person.sees("Rome trip", place)
        person.type("/open 1")
        place = await person.sees("--thread t\n", place)
        person.type("Hello")
        place = await person.sees("Good day.", place)
        person.type("/fork")
        place = await person.sees("> Hello", place)
        person.type("/open nowhere")
        place = await person.sees("not_found", place)
        person.type("/title Paris")
        place = await person.sees("'Paris'", place)
    assert len(server.threads) == 3


async def test_somebody_is_invited_and_joins(server: FakeServer) -> None:
    async with seated(server) as person:
        await person.client.create(thread="theirs", title="Theirs")
        person.type("/invite king")
        place = await person.sees("'king' is no role.")
        person.type("/invite")
        place = await person.sees("/join t token", place)
        person.type("/join theirs token")
        await person.sees("Thread Theirs.", place)
    asked = [(share.role, share.invite) for share in server.sent(ThreadShare)]
    assert asked == [("participant", True), (None, "token")]


async def test_the_last_message_is_taken_back_changed_and_answered_again(server: FakeServer) -> None:
    async with seated(server) as person:
        person.type("Hello")
        place = await person.sees("Good day.\n")
        person.type("/edit Good evening")
        place = await person.sees("Good day.\n", place)
        assert server.threads["t"].messages[0].content == "Good evening"
        person.type("/regenerate")
        place = await person.sees("Good day.\n", place)
        person.type("/undo")
        place = await person.sees("was taken out", place)
        assert server.threads["t"].messages == ()
        person.type("/undo")
        place = await person.sees("no message of yours", place)


async def test_help_names_everything_and_quit_leaves(server: FakeServer) -> None:
    async with seated(server) as person:
        person.type("/help")
        for name in COMMANDS:
            await person.sees(f"/{name}")
        person.type("/quit")
        assert person.talking is not None
        await person.talking


async def test_a_run_that_somebody_began_before_is_shown_when_it_is_over(server: FakeServer) -> None:
    server.pace = asyncio.Semaphore(1)
    async with livethread.connect(server.url) as client:
        thread = await client.create(thread="t")
        talking = asyncio.create_task(thread.generate(Append(Draft("user", "Hello"))).text())
        await eventually(lambda: thread.last is not None and thread.last.content == "Good")
        async with seated(server) as person:
            place = await person.sees("Good")
            for _ in range(2):
                server.pace.release()
            await talking
            await person.sees("Good day.", place)
