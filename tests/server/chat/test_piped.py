from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import livethread
from livethread.messages import ErrorBody, Generate
from livethread_server.chat.lines import Lines
from livethread_server.chat.piped import talk_through
from tests.fake_server import FakeServer, fake_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


async def through(server: FakeServer, text: str) -> tuple[bool, str, list[str]]:
    """What comes out where ``text`` goes in."""
    written: list[str] = []
    complaints: list[str] = []
    end, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    async with livethread.connect(server.url) as client:
        thread = await client.create()
        good = await talk_through(thread, Lines(end), written.append, complaints.append)
    os.close(end)
    return good, "".join(written), complaints


async def test_every_line_is_a_message_and_gets_its_reply(server: FakeServer) -> None:
    assert await through(server, "Hello\n\n/quit\n") == (True, "Good day.\nGood day.\n", [])
    assert [command.ops[0].message.content for command in server.sent(Generate)] == ["Hello", "/quit"]


async def test_what_fails_is_said_elsewhere_and_the_next_line_goes_on(server: FakeServer) -> None:
    server.failure = ErrorBody("context_overflow", "The prompt is too long.", False)
    good, written, complaints = await through(server, "Hello\nHello\n")
    assert (good, written, len(complaints)) == (False, "Good day.\nGood day.\n", 2)
    assert "The prompt is too long." in complaints[0]


@pytest.mark.parametrize("word", ["\x1b[2J", "\x9b2J"])
async def test_control_characters_do_not_come_through(server: FakeServer, word: str) -> None:
    server.words = [word]
    _, written, _ = await through(server, "Hello\n")
    assert word[0] not in written
