"""The web client when its connection is cut, beside other readers, and beside other tabs."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser import (
    ENDLESS,
    SHORT,
    NewPage,
    item,
    letters,
    messages,
    open_thread,
    say,
    states,
    streams,
    text_of,
    thread_with,
)
from tests.serving import ServerProcess

SOCKET = re.compile(r"/v1/ws$")
FOREVER = 3600_000


class Wire:
    """What a page's sockets carry, which a test may cut, hold back, or watch."""

    def __init__(self, page: Page) -> None:
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.sockets = 0
        self.closed = False
        """No new connection comes about."""
        self.deaf_to: str | None = None
        """Replies to commands of this type get lost, and the connection with them."""
        self.silent = False
        """Nothing reaches the page any more."""
        self.starts_with: dict[str, Any] = {}
        """What ``run.started`` says besides what the server says."""
        self._current: WebSocketRoute | None = None
        page.route_web_socket(SOCKET, self._opened)

    def cut(self, code: int = 4001, reason: str = "shutdown") -> None:
        assert self._current
        self._current.close(code=code, reason=reason)

    def commands(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.sent if one["type"] == kind]

    def _opened(self, page_side: WebSocketRoute) -> None:
        self.sockets += 1
        if self.closed:
            page_side.close(code=4001, reason="shutdown")
            return
        lost: set[int] = set()
        server_side = page_side.connect_to_server()

        def down(frame: str | bytes) -> None:
            command = json.loads(frame)
            self.sent.append(command)
            if command["type"] == "hello":
                self._current = page_side
            if command["type"] == self.deaf_to:
                lost.add(command["id"])
            server_side.send(frame)

        def up(frame: str | bytes) -> None:
            if self.silent:
                return
            message = json.loads(frame)
            if message.get("id") in lost and message["type"] == "reply":
                self.deaf_to = None
                self.cut()
                return
            if message["type"] == "run.started":
                message |= self.starts_with
            self.received.append(message)
            page_side.send(json.dumps(message))

        page_side.on_message(down)
        server_side.on_message(up)


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture
def wire(page: Page) -> Wire:
    wire = Wire(page)
    page.reload()
    expect(page.get_by_test_id("composer")).to_be_visible()
    return wire


def connected(page: Page) -> None:
    expect(page.locator('.page[data-connection="open"]')).to_be_visible()


def cut(page: Page, wire: Wire) -> None:
    """Cut the connection and wait for the return."""
    hellos = len(wire.commands("hello"))
    wire.cut()
    while len(wire.commands("hello")) == hellos:
        page.wait_for_timeout(20)
    connected(page)


# Coming back


def test_a_cut_in_the_middle_of_a_reply_repeats_and_loses_nothing(page: Page, wire: Wire, new_page: NewPage) -> None:
    thread_with(page, "cut-stream", {"max_tokens": 120, "temperature": 0})
    other = new_page()
    open_thread(other, "cut-stream")
    say(page, "Tell a story.")
    streams(page)
    for _ in range(3):
        before = text_of(messages(page, "assistant"))
        cut(page, wire)
        assert text_of(messages(page, "assistant")).startswith(before[:20])
        page.wait_for_timeout(150)
    for tab in (page, other):
        states(tab, "done", "done")
    assert text_of(messages(page, "assistant")) == text_of(messages(other, "assistant"))
    subscribes = wire.commands("subscribe")
    assert len(subscribes) == 4
    assert ["since" in one for one in subscribes] == [False, True, True, True]
    recovered = [one["ok"]["recovered"] for one in wire.received if "recovered" in one.get("ok", {})]
    assert recovered == [False, True, True, True]


def test_a_turn_whose_answer_was_lost_is_sent_again_and_taken_once(page: Page, wire: Wire) -> None:
    thread_with(page, "lost-answer", SHORT)
    wire.deaf_to = "generate"
    say(page, "Name a colour.")
    states(page, "done", "done")
    first, second = wire.commands("generate")
    assert first == second
    expect(page.get_by_test_id("composer")).to_have_value("")


def test_a_lost_connection_says_when_it_comes_back_and_keeps_what_is_typed(page: Page, wire: Wire) -> None:
    thread_with(page, "away", SHORT, "One?", "First.")
    page.clock.install()
    wire.closed = True
    wire.cut()
    page.get_by_test_id("composer").fill("Half a thought")
    waits = re.compile(r"Connection lost\. Reconnecting in \d+ s\.")
    for _ in range(30):  # the clock stands still between: how long it waits is drawn, and it may be trying just now
        page.clock.run_for(1000)
        page.wait_for_timeout(50)
        if waits.search(page.get_by_test_id("banner").inner_text()):
            break
    expect(page.get_by_test_id("banner")).to_have_text(waits)
    expect(page.get_by_test_id("send")).to_be_disabled()
    expect(messages(page)).to_have_count(2)
    wire.closed = False
    page.get_by_test_id("retry").dispatch_event("click")  # the page's clock stands still: nothing is ever "stable"
    expect(page.get_by_test_id("banner")).to_have_count(0)
    expect(page.get_by_test_id("composer")).to_have_value("Half a thought")
    expect(page.get_by_test_id("send")).to_be_enabled()


def test_a_connection_that_died_without_a_word_is_noticed_in_half_a_minute(page: Page, wire: Wire) -> None:
    page.clock.install()
    page.reload()
    connected(page)
    before = wire.sockets
    wire.silent = True
    page.clock.run_for(29_000)
    wire.silent = False
    page.clock.run_for(1_000)
    connected(page)
    assert wire.sockets > before


def test_a_close_that_means_do_not_come_back_is_final_and_says_why(page: Page, wire: Wire) -> None:
    connected(page)
    page.clock.install()
    wire.cut(4507, "forbidden")
    expect(page.get_by_test_id("banner")).to_contain_text("asked this page not to come back (4507: forbidden)")
    before = wire.sockets
    page.clock.run_for(FOREVER // 10)
    assert wire.sockets == before
    page.get_by_test_id("retry").dispatch_event("click")  # the page's clock stands still: nothing is ever "stable"
    connected(page)


def test_a_reply_survives_the_death_of_the_server(page: Page, server: ServerProcess, complaints: list[str]) -> None:
    thread_with(page, "killed", {"max_tokens": 150, "temperature": 0})
    say(page, "Tell a story.")
    streams(page)
    server.stop(signal.SIGKILL)
    expect(page.get_by_test_id("banner")).to_be_visible()
    before = letters(text_of(messages(page, "assistant")))
    states(page, "done", "streaming")
    server.start()
    states(page, "done", "done")
    expect(page.get_by_test_id("banner")).to_have_count(0)
    assert letters(text_of(messages(page, "assistant"))).startswith(before)
    assert [one for one in complaints if "net::ERR_CONNECTION_" not in one] == []  # refused, or reset in a handshake
    complaints.clear()


# Two tabs


def test_the_lists_of_two_tabs_stay_equal(page: Page, new_page: NewPage) -> None:
    other = new_page()
    thread_with(page, "watched-a", SHORT, "A", title="First")
    thread_with(page, "watched-b", SHORT, "B", title="Second")
    expect(item(other, "watched-a")).to_contain_text("First")
    expect(other.get_by_test_id("thread-item").first).to_contain_text("Second")
    open_thread(page, "watched-a")
    page.get_by_test_id("title").click()
    page.keyboard.type("Renamed")
    page.keyboard.press("Enter")
    expect(item(other, "watched-a")).to_contain_text("Renamed")
    expect(other.get_by_test_id("thread-item").first).to_contain_text("Renamed")
    say(page, "Name a colour.")
    states(page, "done", "done", "done")
    expect(item(other, "watched-a").locator(".residency-dot")).to_have_attribute("data-residency", "live")
    page.get_by_test_id("evict").click()
    expect(item(other, "watched-a").locator(".residency-dot")).to_have_attribute("data-residency", "disk")
    item(page, "watched-b").hover()
    item(page, "watched-b").get_by_test_id("delete-thread").click()
    page.get_by_test_id("confirm-yes").click()
    expect(item(other, "watched-b")).to_have_count(0)
    expect(other.locator(".thread-title")).to_have_text(page.locator(".thread-title").all_text_contents())


def test_the_list_is_not_asked_for_again_and_again(page: Page, wire: Wire) -> None:
    thread_with(page, "quiet", SHORT)
    say(page, "Name a colour.")
    states(page, "done", "done")
    assert len(wire.commands("thread.list")) == 1
    assert len(wire.commands("watch")) == 1


# Who is there


def test_those_who_look_at_a_thread_see_each_other_and_who_types(page: Page, new_page: NewPage) -> None:
    thread_with(page, "company", SHORT, "One?", "First.")
    expect(page.get_by_test_id("people")).to_have_count(0)
    other = new_page()
    open_thread(other, "company")
    expect(page.get_by_test_id("person")).to_have_attribute("title", "Another window")
    expect(other.get_by_test_id("person")).to_have_count(1)
    other.get_by_test_id("composer").press_sequentially("Well")
    expect(page.get_by_test_id("typing")).to_have_text("Another window is typing")
    expect(other.get_by_test_id("typing")).to_have_count(0)
    other.get_by_test_id("composer").fill("")
    expect(page.get_by_test_id("typing")).to_have_count(0)
    other.evaluate("location.hash = '#/'")
    expect(page.get_by_test_id("people")).to_have_count(0)


def test_who_comes_back_sees_the_others_again(page: Page, wire: Wire, new_page: NewPage) -> None:
    thread_with(page, "company-again", SHORT)
    other = new_page()
    open_thread(other, "company-again")
    expect(page.get_by_test_id("person")).to_have_count(1)
    cut(page, wire)
    expect(page.get_by_test_id("person")).to_have_count(1)
    expect(other.get_by_test_id("person")).to_have_count(1)


# What a run leaves out


def test_messages_that_did_not_fit_are_told(page: Page, wire: Wire) -> None:
    thread_with(page, "too-long", SHORT)
    wire.starts_with = {"dropped": 12}
    say(page, "Name a colour.")
    states(page, "done", "done")
    expect(messages(page, "assistant").get_by_test_id("dropped")).to_have_text(
        "The oldest 12 messages were left out of what the model read."
    )


def test_an_endless_reply_goes_on_while_the_page_is_away(page: Page, wire: Wire) -> None:
    thread_with(page, "goes-on", ENDLESS)
    say(page, "Tell a long story.")
    streams(page)
    length = len(text_of(messages(page, "assistant")))
    wire.closed = True
    wire.cut()
    page.wait_for_timeout(700)
    wire.closed = False
    page.evaluate("window.dispatchEvent(new Event('online'))")  # by itself it may be back already
    page.wait_for_function(
        "length => document.querySelector('[data-role=assistant] .message-text').innerText.length > length + 40",
        arg=length,
    )
    page.get_by_test_id("stop").click()
    states(page, "done", "cancelled")
