"""The web client where the server asks who comes: tokens, invitations, and roles."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import SHORT, item, messages, open_thread, say, states
from tests.serving import ServerProcess

Visit = Callable[..., Page]

MAKE = """async ([token, id, sampling, title]) => {
  const socket = new WebSocket(`ws://${location.host}/v1/ws`, "livethread.v1.json");
  await new Promise((resolve) => (socket.onopen = resolve));
  const messages = [{ role: "user", content: "One?" }, { role: "assistant", content: "First." }];
  socket.send(JSON.stringify({ type: "hello", id: 1, token }));
  socket.send(JSON.stringify({ type: "thread.create", id: 2, thread: id, sampling, title, messages }));
  await new Promise((resolve) => (socket.onmessage = ({ data }) => JSON.parse(data).id === 2 && resolve()));
  socket.close();
}"""


@pytest.fixture(scope="module")
def live_server(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that lets in who brings a token."""
    server = ServerProcess(tmp_path_factory.mktemp("server"), model_path, "--auth", "token")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tokens(live_server: ServerProcess) -> dict[str, str]:
    """A token of everybody who comes in these tests."""
    command = [sys.executable, "-m", "livethread_server.cli", "token", "new"]
    state = ["--state-dir", str(live_server.folder / "state")]
    names = ("ada", "bob", "eve")
    made = {name: subprocess.run([*command, name, *state], capture_output=True, check=True) for name in names}
    return {name: done.stdout.decode().strip() for name, done in made.items()}


@pytest.fixture
def visit(browser: Browser, server: ServerProcess, tokens: dict[str, str]) -> Iterator[Visit]:
    """Open the client, and sign in where a name is given."""
    contexts: list[BrowserContext] = []

    def open_page(name: str | None = None, address: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.goto(server.url + address)
        expect(page.get_by_test_id("token")).to_be_visible()
        if name is not None:
            sign_in(page, tokens[name])
            expect(page.get_by_test_id("principal")).to_have_text(name)
        return page

    yield open_page
    for context in contexts:
        context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_test_id("token").fill(token)
    page.get_by_test_id("sign-in").click()


def thread_of(page: Page, token: str, thread: str) -> None:
    page.evaluate(MAKE, [token, thread, SHORT, thread])
    open_thread(page, thread)
    expect(messages(page)).to_have_count(2)


def invitation(page: Page, role: str) -> str:
    """The address of an invitation to the open thread."""
    page.get_by_test_id("share").click()
    page.get_by_test_id("invite-role").select_option(role)
    page.get_by_test_id("invite").click()
    address = page.get_by_test_id("invite-link").input_value()
    page.get_by_test_id("share-close").click()
    return address


def give(page: Page, name: str, role: str) -> None:
    """Give somebody a role in the share dialog that is open."""
    page.get_by_test_id("share-principal").fill(name)
    page.get_by_test_id("share-role").select_option(role)
    page.get_by_test_id("share-give").click()


def test_nobody_comes_in_without_a_token_and_with_one_everything_works(visit: Visit, tokens: dict[str, str]) -> None:
    page = visit()
    expect(page.get_by_test_id("sign-in-about")).to_contain_text("until you close this tab")
    sign_in(page, "a-made-up-token")
    expect(page.get_by_test_id("sign-in-about")).to_contain_text("token")
    expect(page.get_by_test_id("composer")).to_have_count(0)
    sign_in(page, tokens["ada"])
    thread_of(page, tokens["ada"], "let-in")
    say(page, "Name a colour.")
    states(page, *["done"] * 4)
    page.reload()
    expect(page.get_by_test_id("principal")).to_have_text("ada")
    expect(messages(page)).to_have_count(4)


def test_a_token_is_kept_in_the_tab_and_nowhere_else(visit: Visit, tokens: dict[str, str]) -> None:
    page = visit("ada")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.reload()
    expect(page.get_by_test_id("principal")).to_have_text("ada")
    assert len(asked) > 2
    assert [url for url in (*asked, page.url) if tokens["ada"] in url] == []
    assert tokens["ada"] not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert tokens["ada"] in page.evaluate("JSON.stringify(sessionStorage)")


def test_signing_out_leaves_nothing_to_the_next_one(visit: Visit, tokens: dict[str, str]) -> None:
    page = visit("ada")
    thread_of(page, tokens["ada"], "left-behind")
    page.get_by_test_id("composer").fill("A secret thought")
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("token")).to_be_visible()
    stored = page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert "A secret thought" not in stored
    assert tokens["ada"] not in stored
    sign_in(page, tokens["bob"])
    expect(page.get_by_test_id("principal")).to_have_text("bob")
    expect(item(page, "left-behind")).to_have_count(0)
    open_problem(page, "left-behind")


def open_problem(page: Page, thread: str) -> None:
    """Go to a thread that may not be read, and be told what one is told of a thread that is not there."""
    page.evaluate("thread => { location.hash = `#/t/${thread}` }", thread)
    expect(page.get_by_test_id("problem")).to_contain_text("no thread")


def test_an_invited_participant_writes_and_both_see_each_other(visit: Visit, tokens: dict[str, str]) -> None:
    ada = visit("ada")
    thread_of(ada, tokens["ada"], "together")
    address = invitation(ada, "participant")
    assert "?" not in address
    token = address.rpartition("/")[2]
    bob = visit(None, address[address.index("/#") :])
    assert token not in bob.url
    sign_in(bob, tokens["bob"])
    expect(messages(bob)).to_have_count(2)
    assert token not in bob.evaluate("JSON.stringify(sessionStorage)")
    expect(item(bob, "together")).to_be_visible()
    say(bob, "Name a colour.")
    states(ada, *["done"] * 4)
    expect(messages(ada, "user").last.get_by_role("heading")).to_have_text("bob")
    expect(ada.get_by_test_id("person")).to_have_attribute("title", re.compile("^bob"))
    expect(bob.get_by_test_id("person")).to_have_attribute("title", re.compile("^ada"))


def test_a_viewer_reads_along_and_cannot_write(visit: Visit, tokens: dict[str, str]) -> None:
    ada = visit("ada")
    thread_of(ada, tokens["ada"], "read-along")
    address = invitation(ada, "viewer")
    bob = visit(None, address[address.index("/#") :])
    sign_in(bob, tokens["bob"])
    expect(messages(bob)).to_have_count(2)
    expect(bob.get_by_test_id("read-only")).to_be_visible()
    for forbidden in ("composer", "share", "settings-open", "message-edit", "message-delete", "message-regenerate"):
        expect(bob.get_by_test_id(forbidden)).to_have_count(0)
    say(ada, "Name a colour.")
    states(bob, *["done"] * 4)
    messages(bob, "assistant").last.hover()
    messages(bob, "assistant").last.get_by_test_id("message-fork").click()
    expect(bob.get_by_test_id("composer")).to_be_visible()


def test_a_role_is_given_by_name_and_taken_away_again(visit: Visit, tokens: dict[str, str]) -> None:
    ada, bob = visit("ada"), visit("bob")
    thread_of(ada, tokens["ada"], "by-name")
    ada.get_by_test_id("share").click()
    give(ada, "bob", "participant")
    expect(ada.get_by_test_id("share-done")).to_have_text("bob may read and write now.")
    item(bob, "by-name").get_by_role("link").click()
    expect(messages(bob)).to_have_count(2)
    bob.get_by_test_id("composer").fill("Half a thought")
    give(ada, "bob", "none")
    expect(bob.get_by_text("is no longer shared with you")).to_be_visible()
    expect(bob.get_by_test_id("composer")).to_have_value("Half a thought")
    expect(bob.get_by_test_id("send")).to_be_disabled()
    expect(item(bob, "by-name")).to_have_count(0)
    give(ada, "bob", "viewer")
    expect(bob.get_by_text("is no longer shared with you")).to_have_count(0)
    expect(bob.get_by_test_id("read-only")).to_be_visible()
    give(ada, "bob", "participant")
    expect(bob.get_by_test_id("composer")).to_have_value("Half a thought")
    bob.get_by_test_id("send").click()
    states(ada, *["done"] * 4)


def test_an_invitation_that_was_revoked_lets_nobody_in(visit: Visit, tokens: dict[str, str]) -> None:
    ada = visit("ada")
    thread_of(ada, tokens["ada"], "revoked")
    ada.get_by_test_id("share").click()
    ada.get_by_test_id("invite").click()
    address = ada.get_by_test_id("invite-link").input_value()
    ada.get_by_test_id("invite-revoke").click()
    expect(ada.get_by_test_id("invite-link")).to_have_count(0)
    eve = visit(None, address[address.index("/#") :])
    sign_in(eve, tokens["eve"])
    expect(eve.get_by_test_id("problem")).to_contain_text("no such invite")
