"""The web client as tests see it: what a reader says and does in a page, and what he reads there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

PATIENCE_MS = 60_000
"""Long, because a machine may be busy with other engines; it costs nothing where all is well."""
SHORT = {"max_tokens": 12, "temperature": 0}
ENDLESS = {"max_tokens": 1200, "temperature": 0, "logit_bias": {"0": -1000, "2": -1000}}
"""A reply that no end-of-turn token ends: it runs until somebody stops it."""

CREATE = """async ([id, sampling, messages, title]) => {
  const socket = new WebSocket(`ws://${location.host}/v1/ws`, "livethread.v1.json");
  await new Promise((resolve) => (socket.onopen = resolve));
  const answered = new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(JSON.parse(data))));
  socket.send(JSON.stringify({ type: "thread.create", id: 1, thread: id, sampling, messages, title }));
  const reply = await answered;
  socket.close();
  if (reply.error) throw new Error(reply.error.message);
}"""

NewPage = Callable[..., Page]


def thread_with(page: Page, thread: str, sampling: dict[str, Any], *turns: str, title: str | None = None) -> None:
    """Make a thread of user and assistant turns behind the client's back, and open it."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": turn} for index, turn in enumerate(turns)]
    page.evaluate(CREATE, [thread, sampling, messages, title or thread])
    open_thread(page, thread)
    expect(page.get_by_test_id("title")).to_have_text(title or thread)


def open_thread(page: Page, thread: str) -> None:
    page.evaluate("thread => { location.hash = `#/t/${thread}` }", thread)
    expect(page.get_by_test_id("residency")).to_be_visible()


def say(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.get_by_test_id("send").click()


def messages(page: Page, role: str | None = None) -> Locator:
    return page.locator(f'[data-testid="message"][data-role="{role}"]' if role else '[data-testid="message"]')


def states(page: Page, *wanted: str) -> None:
    """Wait until the messages are in these states, from the first to the last."""
    page.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll('[data-testid=message]')]"
        ".map(one => one.dataset.state)) === JSON.stringify(wanted)",
        arg=list(wanted),
    )


def text_of(message: Locator) -> str:
    return message.locator(".message-text").inner_text()


def letters(text: str) -> str:
    """The text without its spaces and marks, which Markdown may still change."""
    return re.sub(r"\W", "", text)


def streams(page: Page) -> Locator:
    """Wait until the last message is being written and some of its text is there."""
    message = page.locator('[data-testid="message"][data-state="streaming"]')
    expect(message.locator(".message-text")).to_have_text(re.compile(r"\w{3}"))
    return message


def act(message: Locator, name: str) -> None:
    message.hover()
    message.get_by_test_id(f"message-{name}").click()


def item(page: Page, thread: str) -> Locator:
    return page.locator(f'[data-testid="thread-item"][data-thread-id="{thread}"]')


def tab_to(page: Page, test_id: str, *, back: bool) -> None:
    """Press Tab until the focus is there, as somebody without a mouse would."""
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate("document.activeElement?.dataset.testid") == test_id:
            return
    raise AssertionError(f"40 presses of Tab did not reach {test_id}.")
