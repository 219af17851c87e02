"""The how-to's chat page, exactly as it is printed, served from another origin than the server's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from websockets.sync.client import connect

from tests import howto
from tests.browser import ENDLESS, PATIENCE_MS
from tests.serving import ServerProcess, free_port

PAGE = "browser-chat.md"
HERE = "ws://127.0.0.1:8000/v1/ws"
STORY = {"max_tokens": 60, "temperature": 0, "logit_bias": {"0": -1000, "2": -1000}}

Visit = Callable[[str], Page]


@pytest.fixture(scope="module")
def origin() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def live_server(model_path: Path, tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[ServerProcess]:
    """A server that pages from the how-to's other origin may connect to."""
    server = ServerProcess(tmp_path_factory.mktemp("server"), model_path, "--allow-origin", origin)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def site(origin: str, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is; its one constant names the test's server."""
    folder = tmp_path_factory.mktemp("site")
    howto.save(PAGE, folder, {HERE: server.ws_url})
    with howto.pages(folder, int(origin.rpartition(":")[2])):
        yield f"{origin}/chat.html"


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Opens the page on a thread, each time in a tab of its own; afterwards no script may have failed."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []

    def open_page(thread: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{site}#{thread}")
        return page

    yield open_page
    context.close()
    assert errors == []


class Wire:
    """What a page's connections carry, which a test may cut. The page is loaded again for it."""

    def __init__(self, page: Page) -> None:
        self.sent: list[dict[str, Any]] = []
        self.away = False
        """Nobody answers any more."""
        self._current: WebSocketRoute | None = None
        page.route_web_socket(re.compile("/v1/ws$"), self._opened)
        page.reload()

    def cut(self) -> None:
        assert self._current
        self._current.close(code=4001, reason="cut")

    def _opened(self, near: WebSocketRoute) -> None:
        if self.away:
            near.close(code=4001, reason="away")
            return
        self._current = near
        far = near.connect_to_server()

        def down(frame: str | bytes) -> None:
            self.sent.append(json.loads(frame))
            far.send(frame)

        near.on_message(down)


def prepare(server: ServerProcess, thread: str, sampling: dict[str, Any]) -> None:
    """Make a thread whose replies are as a test wants them; the page finds it there."""
    with connect(server.ws_url) as socket:
        socket.send(json.dumps({"type": "thread.create", "id": 1, "thread": thread, "sampling": sampling}))
        assert "ok" in json.loads(socket.recv())


def say(page: Page, text: str) -> None:
    page.locator("[name=text]").fill(text)
    page.get_by_role("button", name="Send").click()


def lines(page: Page) -> list[str]:
    """What the page shows."""
    return page.locator("#messages li").all_text_contents()


def streams(page: Page) -> None:
    expect(page.locator("li[data-state=streaming]")).to_have_text(re.compile(r"\w{3}"))


def finished(page: Page, count: int) -> None:
    expect(page.locator("li[data-state=done]")).to_have_count(count)


def test_what_is_said_in_one_tab_is_answered_in_both(visit: Visit, server: ServerProcess) -> None:
    prepare(server, "two-tabs", STORY)
    one, other = visit("two-tabs"), visit("two-tabs")
    expect(other.locator("#state")).to_have_text("Thread “two-tabs”")
    say(one, "Tell a <b>story</b>.")
    streams(other)
    for page in (one, other):
        finished(page, 2)
    assert lines(one) == lines(other)
    assert lines(one)[0] == "Tell a <b>story</b>."
    assert len(lines(one)[1]) > 100
    one.reload()
    finished(one, 2)
    assert lines(one) == lines(other)


def test_a_cut_in_the_middle_of_a_reply_loses_and_repeats_nothing(visit: Visit, server: ServerProcess) -> None:
    prepare(server, "cut", STORY)
    reader, writer = visit("cut"), visit("cut")
    wire = Wire(writer)
    expect(writer.locator("#state")).to_have_text("Thread “cut”")
    say(writer, "Tell a story.")
    for _ in range(2):
        streams(writer)
        wire.cut()
        expect(writer.locator("#state")).to_have_text("Connecting …")
        expect(writer.locator("#state")).to_have_text("Thread “cut”")
    for page in (reader, writer):
        finished(page, 2)
    assert lines(writer) == lines(reader)
    assert [one["since"] is not None for one in wire.sent if one["type"] == "subscribe"] == [False, True, True]


def test_what_is_said_while_the_server_is_away_is_said_when_it_is_back(visit: Visit, server: ServerProcess) -> None:
    prepare(server, "away", {"max_tokens": 3, "temperature": 0})
    page = visit("away")
    wire = Wire(page)
    expect(page.locator("#state")).to_have_text("Thread “away”")
    wire.away = True
    wire.cut()
    expect(page.locator("#state")).to_have_text("Connecting …")
    say(page, "Are you there?")
    wire.away = False
    finished(page, 2)
    assert lines(page)[0] == "Are you there?"


def test_a_reply_can_be_stopped(visit: Visit, server: ServerProcess) -> None:
    prepare(server, "stopped", ENDLESS)
    page = visit("stopped")
    expect(page.locator("#state")).to_have_text("Thread “stopped”")
    say(page, "Count.")
    streams(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("li[data-state=cancelled]")).to_have_count(1)
